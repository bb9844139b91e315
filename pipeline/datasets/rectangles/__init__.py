"""Rectangles: one white rectangle on black. The dataset is not published; its sample is the dataset.

Source, sample and reader of this dataset only.
"""
