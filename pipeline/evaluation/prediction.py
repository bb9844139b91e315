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


def predict(
    model: keras.Model, images: Shards, image_ids: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
    """For those images, batch after batch: their ids and the model's outputs by name."""
    with bar("predicting", len(image_ids), "image") as progress:
        for start in range(0, len(image_ids), BATCH_IMAGES):
            batch_ids = image_ids[start : start + BATCH_IMAGES]
            yield batch_ids, model.predict_on_batch(images.take("image", images.rows_of(batch_ids)))
            progress.update(len(batch_ids))
