"""COCO YOLO: a grid detector in the manner of YOLOv1, boxes and a class for every cell."""
