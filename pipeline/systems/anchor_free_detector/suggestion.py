"""A section of params.yaml for a new dataset, sized for minutes of training on a CPU."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGE_SIZES = (160, 224, 320, 416)
"""Sides of the model input in pixels, multiples of the largest stride, 32."""

MIN_OBJECT_SIDE = 8
"""Pixels that all but the smallest objects should have in the model input: one cell of the finest pyramid level."""

SMALLEST_FRACTION = 0.1
"""Fraction of the objects that may be smaller."""

TRAINED_IMAGES = 12_000
"""Images that a training sees, repetitions included; about four minutes on two cores at 160 pixels."""

EPOCHS = (4, 60)


def suggest_section(
    dataset: str, split: str, num_images: int, boxes_per_image: int, relative_sides: NDArray[np.float64]
) -> dict[str, Any]:
    """Suggest a section for a detector.

    Args:
        dataset: key of the dataset in params.yaml.
        split: the images to score, "val" or "test".
        num_images: number of training images.
        boxes_per_image: the largest number of boxes of an image.
        relative_sides: square root of the fraction of its image that each object covers, 0..1, [N].

    """
    fewest, most = EPOCHS
    epochs = int(np.clip(round(TRAINED_IMAGES / max(1, num_images)), fewest, most))
    return {
        "module": "anchor_free_detector",
        "dataset": dataset,
        "pretrained": None,
        "pack": {"image_size": _image_size(relative_sides), "channels": 3, "resize": "letterbox", "shard_images": 512},
        "targets": {"max_boxes": max(16, 1 << (boxes_per_image - 1).bit_length())},
        "model": {
            "stages": [
                {"filters": filters, "blocks": blocks}
                for filters, blocks in ((16, 0), (32, 1), (64, 2), (96, 1), (128, 1))
            ],
            "pyramid_filters": 64,
            "topk": 9,
        },
        "train": {
            "batch_size": 8,
            "validation_batches": 2,
            "augment": {
                "flip_probability": 0.5,
                "max_translate_fraction": 0.1,
                "scale": [0.8, 1.25],
                "rotate_degrees": 0,
                "color": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
            },
            "phases": {
                "all": {
                    "epochs": epochs,
                    "learning_rate": 0.002,
                    "schedule": {"kind": "cosine", "warmup_epochs": 1, "final_lr_fraction": 0.01},
                    "weight_decay": 0.02,
                    "clip_norm": 10.0,
                }
            },
        },
        "evaluate": {"split": split, "plotted_images": 12, "score_threshold": 0.3},
    }


def _image_size(relative_sides: NDArray[np.float64]) -> int:
    """The smallest of IMAGE_SIZES in which nearly all objects have MIN_OBJECT_SIDE, or the largest."""
    if not len(relative_sides):
        return IMAGE_SIZES[0]
    smallest = float(np.quantile(relative_sides, SMALLEST_FRACTION))
    return next((size for size in IMAGE_SIZES if size * smallest >= MIN_OBJECT_SIDE), IMAGE_SIZES[-1])
