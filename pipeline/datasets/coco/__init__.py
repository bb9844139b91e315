"""COCO 2017: photographs with many boxes of 80 categories, https://cocodataset.org."""
