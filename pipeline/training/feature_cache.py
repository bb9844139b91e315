"""Answers of layers that do not learn, computed once instead of in every epoch."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.core.progress import bar
from pipeline.packing.shards import Shards, shard_path, write_shard

SPLIT = "features"
BATCH_IMAGES = 64
SHARD_IMAGES = 1024


def cache_features(frozen: keras.Model, images: Shards, image_ids: NDArray[np.int64], folder: Path) -> Shards:
    """What `frozen` answers for those images, float32, in memory-mapped shards below `folder`, column `image`."""
    with bar("frozen layers", len(image_ids), "image") as progress:
        for number, start in enumerate(range(0, len(image_ids), SHARD_IMAGES)):
            ids = image_ids[start : start + SHARD_IMAGES]
            answers = []
            for first in range(0, len(ids), BATCH_IMAGES):
                batch = ids[first : first + BATCH_IMAGES]
                model_inputs = images.take("image", images.rows_of(batch))
                answers.append(np.asarray(frozen.predict_on_batch(model_inputs), np.float32))
                progress.update(len(batch))
            write_shard(shard_path(folder, SPLIT, number), ids, {"image": np.concatenate(answers)})
    return Shards(folder, SPLIT)


def split_at(model: keras.Model, cut: str) -> tuple[keras.Model, keras.Model]:
    """The model up to and including layer `cut`, and from there to its outputs; both share the model's layers."""
    features = model.get_layer(cut).output
    return keras.Model(model.inputs[0], features), keras.Model(features, model.output)
