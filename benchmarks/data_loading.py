"""Training batches at 448 px: from packed shards, and from image files as in the published grid detector.

The published one reads, decodes and resizes every file in every epoch with tf.data: shuffle over eight batches,
parallel map, batch, prefetch. Both use the same arrays as targets.
"""

import tempfile
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.packing import PACK, pack, write_dataset
from benchmarks.photographs import photographs
from benchmarks.timing import ratio
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.training.data_loader import EpochBatches, ShardLoader
from pipeline.training.fit import LOADER_THREADS

IMAGES = 1024
BATCH_IMAGES = 16
GRID_SIZE = 6
PARALLEL_CALLS = 8


def data_loading_benchmark() -> dict[str, float]:
    """Seconds of an epoch both ways, and images per second."""
    image_ids = np.arange(1, IMAGES + 1)
    targets = {
        "box": np.zeros((IMAGES, GRID_SIZE, GRID_SIZE, 5), np.float32),
        "class": np.zeros((IMAGES, GRID_SIZE, GRID_SIZE), np.int32),
    }
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(LOADER_THREADS) as executor:
        folder = Path(temporary)
        made = list(photographs(image_ids.tolist()))
        files = [folder / f"{photograph.image_id}.jpg" for photograph in made]
        for path, photograph in zip(files, made, strict=True):
            path.write_bytes(photograph.content)
        pack(*write_dataset(folder, made), folder, folder / "nothing", folder / "pack")
        write_shard(shard_path(folder / "targets", "train", 0), image_ids, targets)
        images, encoded = Shards(folder / "pack", "train"), Shards(folder / "targets", "train")
        loader = ShardLoader(images, encoded, BATCH_IMAGES, list(targets), np.arange(IMAGES), seed=1)
        batches = EpochBatches(loader, executor)
        published = _published([str(path) for path in files], targets)
        result = ratio(
            lambda: _exhaust(published),
            lambda: _exhaust(batches),
        )
    return result | {
        "slow_images_per_second": IMAGES / result["slow_seconds"],
        "fast_images_per_second": IMAGES / result["fast_seconds"],
    }


def _published(files: list[str], targets: dict[str, np.ndarray]) -> tf.data.Dataset:
    def load(path: tf.Tensor, target: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize_with_pad(pixels, PACK.image_size, PACK.image_size), target

    rows = tf.data.Dataset.from_tensor_slices((files, targets)).shuffle(8 * BATCH_IMAGES, seed=1)
    return rows.map(load, num_parallel_calls=PARALLEL_CALLS).batch(BATCH_IMAGES).prefetch(2)


def _exhaust(batches: Iterable[object]) -> None:
    deque(batches, maxlen=0)
