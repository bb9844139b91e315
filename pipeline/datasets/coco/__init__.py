"""COCO 2017: photographs with many boxes of 80 categories, https://cocodataset.org.

Source, sample and reader of this dataset only. The JSON format itself is in `pipeline.datasets.formats.coco`.
"""
