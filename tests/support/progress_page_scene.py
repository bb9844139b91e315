"""Predictions for two images before a training and in three epochs; all numbers differ."""

import numpy as np

from pipeline.training.progress_page import Box, Epoch, ImagePredictions, png_data_url

TITLE = "a </title><i>title & more"
CAT, DOG, NAMELESS = 1, 2, 4
NAMES = ["nothing", "cat", "</script><b>dog", "never seen", ""]

TRUTH = [
    [Box(0.1, 0.2, 0.4, 0.9, CAT)],
    [Box(0.3, 0.05, 0.8, 0.25, DOG), Box(0.6, 0.5, 0.7, 0.95, NAMELESS)],
]
EPOCHS = [
    Epoch(None, {}, [ImagePredictions([]), ImagePredictions([Box(0.45, 0.35, 0.55, 0.65, CAT, 0.52, 0.01)])]),
    Epoch(
        "head",
        {"loss": 2.5, "val_loss": 3.25, "accuracy": 0.125},
        [ImagePredictions([Box(0.15, 0.25, 0.5, 0.6, CAT, 0.87, 0.71)]), ImagePredictions([])],
    ),
    Epoch(
        "head",
        {"loss": 1.75, "val_loss": None, "accuracy": 0.5},
        [
            ImagePredictions([Box(0.12, 0.22, 0.41, 0.88, CAT, 0.91, 0.83), Box(0.5, 0.1, 0.95, 0.3, DOG, 0.4, 0.0)]),
            ImagePredictions([Box(0.31, 0.07, 0.77, 0.24, DOG, 0.66, 0.74)], invalid=1),
        ],
    ),
    Epoch(
        "all layers",
        {"loss": 0.625, "val_loss": 0.875, "accuracy": 0.75},
        [
            ImagePredictions(
                [Box(0.11, 0.21, 0.39, 0.89, CAT, 0.95, 0.92), Box(-0.2, 0.4, 0.3, 1.1, DOG, 0.05, 0.31)], omitted=7
            ),
            ImagePredictions(
                [Box(0.29, 0.06, 0.81, 0.23, DOG, 0.75, 0.78), Box(0.61, 0.52, 0.69, 0.9, CAT, 0.35, 0.68)]
            ),
        ],
    ),
]


def model_inputs() -> np.ndarray:
    """Two dark images, each with a bright rectangle at another position, uint8 [2, 20, 20, 3]."""
    pixels = np.full((2, 20, 20, 3), 40, np.uint8)
    pixels[0, 3:9, 12:15] = (200, 60, 10)
    pixels[1, 14:18, 2:13] = (20, 90, 220)
    return pixels


def images() -> list[str]:
    return [png_data_url(model_input) for model_input in model_inputs()]
