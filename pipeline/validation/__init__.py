"""Data validation: inspection of image files, checks of rows, datasets and drift, and the reports of their results.

Reading datasets belongs in `pipeline.datasets`; comparing two versions of a dataset row by row in `pipeline.diff`.
"""
