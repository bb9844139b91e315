"""Annotation file formats: COCO's instances JSON, read and written, and CSV, read.

Nothing here depends on a single dataset; how a dataset uses a format is in its reader.
"""
