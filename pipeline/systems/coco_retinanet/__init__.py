"""RetinaNet: a feature pyramid and anchors, pretrained on COCO, used as it is or fine-tuned on any dataset."""
