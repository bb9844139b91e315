"""COCO YOLO: a grid detector in the manner of YOLOv1, one box per cell and a class map."""
