"""The rectangle system at its published size: trained as the original does, and as it is here."""

import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.timing import seconds
from pipeline.datasets.rectangles.sample import draw_boxes, paint
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.systems.interfaces import Part
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.rectangle_localizer.model import build_model, part
from pipeline.systems.rectangle_localizer.pretrained import sample
from pipeline.systems.rectangle_localizer.targets import sigmoid_encode
from pipeline.training.data_loader import ShardLoader
from pipeline.training.feature_cache import cache_features, split_at

SIZE = 224
BATCH_IMAGES = 32
IMAGES = 4 * BATCH_IMAGES  # an eighth of the published epoch: the ratio does not depend on it, the waiting does
EPOCHS = 10
ROUNDS = 3


def rectangles_benchmark() -> dict[str, float]:
    """Seconds of an epoch both ways, and of ten epochs with the one look at the images included."""
    published = ModelConfig(endless=False, output="sigmoid")
    model = build_model(published, TargetsConfig(), SIZE, 3, 1, sample("published"))
    fitted = part("head", model, published)
    literal = _literal_seconds(model, fitted.compile_arguments)
    with tempfile.TemporaryDirectory() as temporary:
        once, epoch = _frozen_once_seconds(fitted, Path(temporary))
    return {
        "slow_seconds": literal,
        "fast_seconds": epoch,
        "ratio": literal / epoch,
        "looking_once_seconds": once,
        "ratio_of_ten_epochs": EPOCHS * literal / (once + EPOCHS * epoch),
    }


def _literal_seconds(model: keras.Model, compile_arguments: dict[str, object]) -> float:
    """An epoch as published: pixel by pixel, and every image through the frozen layers."""
    model.compile(keras.optimizers.Adam(), **compile_arguments)
    random = np.random.default_rng(1)

    def epoch() -> None:
        for _ in range(IMAGES // BATCH_IMAGES):
            boxes_xywh = draw_boxes(random, BATCH_IMAGES, SIZE)
            images = np.zeros((BATCH_IMAGES, SIZE, SIZE, 3), np.float32)
            for image, (left, top, width, height) in zip(images, boxes_xywh, strict=True):
                for row in range(top, top + height):
                    for column in range(left, left + width):
                        image[row, column] = [255.0, 255.0, 255.0]
            model.train_on_batch(images, {"box": sigmoid_encode(boxes_xywh / SIZE)})

    epoch()
    return statistics.median(seconds(epoch) for _ in range(ROUNDS))


def _frozen_once_seconds(fitted: Part, folder: Path) -> tuple[float, float]:
    """The one look of the frozen layers at the images, and an epoch after it."""
    boxes_xywh = draw_boxes(np.random.default_rng(1), IMAGES, SIZE)
    ids = np.arange(1, IMAGES + 1)
    write_shard(shard_path(folder / "pack", "train", 0), ids, {"image": np.repeat(paint(boxes_xywh, SIZE), 3, axis=3)})
    write_shard(shard_path(folder / "targets", "train", 0), ids, {"box": sigmoid_encode(boxes_xywh / SIZE)})
    images, targets = Shards(folder / "pack", "train"), Shards(folder / "targets", "train")
    assert fitted.cut is not None, "the backbone is frozen"
    frozen, head = split_at(fitted.model, fitted.cut)
    started = time.perf_counter()
    features = cache_features(frozen, images, ids, folder)
    once = time.perf_counter() - started
    head.compile(keras.optimizers.Adam(), **fitted.compile_arguments)
    batches = ShardLoader(features, targets, BATCH_IMAGES, ["box"], np.arange(IMAGES), seed=1)

    def epoch() -> None:
        head.fit(batches, shuffle=False, verbose=0)

    epoch()
    return once, statistics.median(seconds(epoch) for _ in range(ROUNDS))
