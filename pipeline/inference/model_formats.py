"""Formats besides model.keras in which a trained model can be written."""

from collections.abc import Callable
from pathlib import Path

import keras

from pipeline.core.atomic_files import atomic_write


def write_h5(model: keras.Model, path: Path) -> None:
    """Write network and weights as one HDF5 file, which Keras 2 and 3 save and load by the suffix .h5."""
    model.save(path)


WRITERS: dict[str, Callable[[keras.Model, Path], None]] = {"h5": write_h5}
"""The writer of each format; its name is the suffix of the file."""


def write_model(model: keras.Model, path: Path, model_format: str) -> None:
    """Write a model atomically.

    Args:
        model: the model.
        path: the file to write, with the format as suffix; an existing one is replaced.
        model_format: a key of `WRITERS`.

    """
    with atomic_write(path) as partial:
        WRITERS[model_format](model, partial)
