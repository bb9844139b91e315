"""Features of frozen layers, computed once per image instead of in every epoch."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.core.progress import ProgressBar
from pipeline.packing.shards import Shards, shard_path, write_shard

SPLIT = "features"
BATCH_IMAGES = 64
SHARD_IMAGES = 1024


def cache_features(frozen: keras.Model, images: Shards, image_ids: NDArray[np.int64], folder: Path) -> Shards:
    """Compute the features of images and store them in memory-mapped shards.

    Args:
        frozen: the model up to the last frozen layer, from pixels to one output.
        images: packed images.
        image_ids: the images, int64 [N].
        folder: receives the shards.

    Returns:
        Shards with the features, float32 [N, ...], in the column `image`.

    """
    with ProgressBar("frozen layers", len(image_ids), "image") as progress:
        for number, start in enumerate(range(0, len(image_ids), SHARD_IMAGES)):
            shard_ids = image_ids[start : start + SHARD_IMAGES]
            features = []
            for first in range(0, len(shard_ids), BATCH_IMAGES):
                batch_ids = shard_ids[first : first + BATCH_IMAGES]
                model_inputs = images.take("image", images.rows_of(batch_ids))
                features.append(np.asarray(frozen.predict_on_batch(model_inputs), np.float32))
                progress.update(len(batch_ids))
            write_shard(shard_path(folder, SPLIT, number), shard_ids, {"image": np.concatenate(features)})
    return Shards(folder, SPLIT)


def split_at(model: keras.Model, layer_name: str) -> tuple[keras.Model, keras.Model]:
    """Split a model behind a layer.

    Args:
        model: a functional model with one input.
        layer_name: the last layer of the first part.

    Returns:
        The part up to that layer, and the part from there to the outputs. Both share their layers with `model`.

    """
    features = model.get_layer(layer_name).output
    return keras.Model(model.inputs[0], features), keras.Model(features, model.output)
