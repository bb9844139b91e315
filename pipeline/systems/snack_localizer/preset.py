"""The snack localizer's backbone: MobileNet without its top, with ImageNet weights, as Keras publishes it."""

import keras

from pipeline.systems.presets import KERAS_FILES

FILES = KERAS_FILES

SHAPE = (None, None, 3)


def upstream() -> keras.Model:
    """Width 1: 3,228,864 parameters."""
    return keras.applications.MobileNet(input_shape=SHAPE, include_top=False, weights="imagenet")


def sample(size: str) -> keras.Model:
    """Random weights; the small one has a quarter of the filters."""
    width = 1.0 if size == "published" else 0.25
    return keras.applications.MobileNet(input_shape=SHAPE, alpha=width, include_top=False, weights=None)
