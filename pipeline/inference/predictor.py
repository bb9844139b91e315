"""A trained model run over the images of a split."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.core.progress import bar
from pipeline.packing.shards import Shards
from pipeline.systems import interfaces as verbs
from pipeline.systems.interfaces import Arrays
from pipeline.systems.model_metadata import MODEL

BATCH_IMAGES = 64


def load_model(folder: Path, module: str) -> keras.Model:
    """The trained model in that folder, for answering only; `module` is its system, a folder of pipeline/systems.

    Files load in safe mode: no code inside them is run.
    """
    verbs.architecture(module)  # a system may register classes of its own, which loading then finds
    path = folder / MODEL
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().partition("\n")[0]
        raise BoxlineError(
            f"{path} is not a model that can be loaded ({reason}). `dvc repro` trains it anew."
        ) from None


def predict(
    model: keras.Model, images: Shards, image_ids: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
    """For those images, batch after batch: their ids and the model's outputs by name."""
    with bar("predicting", len(image_ids), "image") as progress:
        for start in range(0, len(image_ids), BATCH_IMAGES):
            batch_ids = image_ids[start : start + BATCH_IMAGES]
            yield batch_ids, model.predict_on_batch(images.take("image", images.rows_of(batch_ids)))
            progress.update(len(batch_ids))
