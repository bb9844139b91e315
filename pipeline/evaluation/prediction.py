"""A trained model run over the images of a split."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BoxlineError
from pipeline.progress import bar
from pipeline.storage.shards import Shards
from pipeline.systems.verbs import Arrays

BATCH_IMAGES = 64


def load_model(path: Path) -> keras.Model:
    """The trained model, for answering only. Files load in safe mode: no code inside them is run."""
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError) as error:
        raise BoxlineError(f"{path} is not a model that can be loaded ({error}). `dvc repro` trains it anew.") from None


def predict(model: keras.Model, images: Shards) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
    """Image ids and the model's outputs by name, batch after batch, in the order of the shards."""
    with bar("predicting", len(images), "image") as progress:
        for start in range(0, len(images), BATCH_IMAGES):
            rows = np.arange(start, min(start + BATCH_IMAGES, len(images)))
            yield images.image_ids[rows], model.predict_on_batch(images.take("image", rows))
            progress.update(len(rows))
