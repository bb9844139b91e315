"""The rectangle system at its published size: trained as in the original, and with cached output of frozen layers."""

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from benchmarks.timing import seconds
from pipeline.datasets.rectangles.sample import draw_boxes, paint_boxes
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.pretrained.vgg import VggWeights
from pipeline.systems.common.interfaces import ModelShape, TrainingPhase
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.rectangle_localizer.model import RectangleLocalizerFactory
from pipeline.systems.rectangle_localizer.targets import sigmoid_encode
from pipeline.training.data_loader import EpochBatches, ShardLoader
from pipeline.training.feature_cache import cache_features, split_at
from pipeline.training.fit import LOADER_THREADS

SIZE = 224
BATCH_IMAGES = 32
IMAGES = 4 * BATCH_IMAGES  # an eighth of the published epoch; the ratio does not depend on it
EPOCHS = 10
ROUNDS = 3


def rectangles_benchmark() -> dict[str, float]:
    """Seconds of an epoch both ways, and the ratio of ten epochs with the time to fill the cache included."""
    published = ModelConfig(generate_images=False, output="sigmoid")
    factory = RectangleLocalizerFactory()
    model = factory.build_model(
        published, TargetsConfig(), ModelShape(SIZE, 3, 1), VggWeights().random_init("published")
    )
    phase = factory.phase_model("head", model, published)
    as_published = _published_seconds(model, phase.compile_arguments)
    with tempfile.TemporaryDirectory() as temporary:
        caching, epoch = _cached_seconds(phase, Path(temporary))
    return {
        "slow_seconds": as_published,
        "fast_seconds": epoch,
        "ratio": as_published / epoch,
        "feature_cache_seconds": caching,
        "ratio_of_ten_epochs": EPOCHS * as_published / (caching + EPOCHS * epoch),
    }


def _published_seconds(model: keras.Model, compile_arguments: dict[str, object]) -> float:
    """Seconds of an epoch as published: images painted pixel by pixel, every one through the frozen layers."""
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


def _cached_seconds(phase: TrainingPhase, folder: Path) -> tuple[float, float]:
    """Seconds to cache the output of the frozen layers, and seconds of an epoch after that."""
    boxes_xywh = draw_boxes(np.random.default_rng(1), IMAGES, SIZE)
    ids = np.arange(1, IMAGES + 1)
    model_inputs = np.repeat(paint_boxes(boxes_xywh, SIZE), 3, axis=3)
    write_shard(shard_path(folder / "pack", "train", 0), ids, {"image": model_inputs})
    write_shard(shard_path(folder / "targets", "train", 0), ids, {"box": sigmoid_encode(boxes_xywh / SIZE)})
    images, targets = Shards(folder / "pack", "train"), Shards(folder / "targets", "train")
    assert phase.frozen_until is not None, "the backbone is frozen"
    frozen, head = split_at(phase.model, phase.frozen_until)
    started = time.perf_counter()
    features = cache_features(frozen, images, ids, folder)
    caching = time.perf_counter() - started
    head.compile(keras.optimizers.Adam(), **phase.compile_arguments)
    loader = ShardLoader(features, targets, BATCH_IMAGES, ["box"], np.arange(IMAGES), seed=1)
    with ThreadPoolExecutor(LOADER_THREADS) as threads:
        batches = EpochBatches(loader, threads).for_keras()

        def epoch() -> None:
            head.fit(batches, shuffle=False, verbose=0)

        epoch()
        return caching, statistics.median(seconds(epoch) for _ in range(ROUNDS))
