"""Geometry: box formats, overlap, labeled boxes, and the resizing of images and boxes to model inputs.

Code belongs here if it computes with NumPy arrays alone. It opens no file and imports no other package of the pipeline.
"""
