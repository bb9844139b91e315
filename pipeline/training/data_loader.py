"""Loads the batches of a training, from packed images or from a generator: the same on every backend of Keras.

The content of a batch depends on seed, epoch and step alone. Only indices are shuffled, never pixels, so memory does
not grow with the dataset.
"""

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.packing.shards import Shards
from pipeline.systems.common.interfaces import BatchGenerator
from pipeline.systems.common.target_annotations import read_annotations
from pipeline.training.augmentation import Augmentation

SYNTHETIC_TAG, AUGMENTATION_TAG = 1, 2
"""Last element of the seeds of synthetic batches and of augmentation. NumPy ignores trailing zeros in a seed: without
the tag, the first step of an epoch would draw the same numbers as a dataset that is seeded with [seed, epoch]."""

BATCHES_AHEAD = 4
"""Batches that threads load while a step runs, so at most that many are in memory besides the one of the step."""

Batch = tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]
"""Images uint8 [B, size, size, channels], and targets by output name."""


class BatchLoader(ABC):
    """Loads any batch of any epoch. Threads call it at the same time."""

    @abstractmethod
    def __len__(self) -> int:
        """Steps per epoch."""

    @abstractmethod
    def load(self, epoch: int, step: int) -> Batch:
        """The batch of a step; both are counted from 0."""


class ShardLoader(BatchLoader):
    """Loads batches of packed images and their targets.

    Args:
        images: shards with the column `image`.
        targets: shards of targets; several examples may share an image.
        batch_size: images per step; the last batch of an epoch may be smaller.
        target_names: the targets to load.
        target_rows: the examples, as rows of `targets`, int64 [N].
        seed: shuffles the examples of each epoch; None keeps the order of `target_rows`.
        augmentation: changes the images and encodes their boxes again; needs a seed.

    """

    def __init__(
        self,
        images: Shards,
        targets: Shards,
        batch_size: int,
        target_names: Sequence[str],
        target_rows: NDArray[np.int64],
        seed: int | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._images, self._targets = images, targets
        self._batch_size = batch_size
        self._target_names = target_names
        self._target_rows = target_rows
        self._image_rows = images.rows_of(targets.image_ids[self._target_rows])
        self._seed, self._augmentation = seed, augmentation
        self._order = functools.lru_cache(maxsize=1)(self._order_of_epoch)

    def __len__(self) -> int:
        return -(-len(self._target_rows) // self._batch_size)

    def load(self, epoch: int, step: int) -> Batch:
        """The images and targets of a step."""
        chosen = self._order(epoch)[step * self._batch_size : (step + 1) * self._batch_size]
        rows = self._target_rows[chosen]
        images = self._images.take("image", self._image_rows[chosen])
        if self._augmentation is None:
            return images, {name: self._targets.take(name, rows) for name in self._target_names}
        assert self._seed is not None, "augmentation needs a seed"
        random = np.random.default_rng([self._seed, epoch, step, AUGMENTATION_TAG])
        ground_truth = read_annotations(self._targets, rows)
        return images, self._augmentation.apply(images, ground_truth, self._target_names, random)

    def _order_of_epoch(self, epoch: int) -> NDArray[np.int64]:
        count = len(self._target_rows)
        return np.arange(count) if self._seed is None else np.random.default_rng([self._seed, epoch]).permutation(count)


class SyntheticLoader(BatchLoader):
    """Generates new images for every step of every epoch.

    Args:
        generate: draws a batch.
        batch_size: images per step.
        steps: steps per epoch, at least 1.
        seed: together with epoch and step, the seed of each batch.

    """

    def __init__(self, generate: BatchGenerator, batch_size: int, steps: int, seed: int) -> None:
        self._generate, self._batch_size, self._steps, self._seed = generate, batch_size, max(steps, 1), seed

    def __len__(self) -> int:
        return self._steps

    def load(self, epoch: int, step: int) -> Batch:
        """Generate the batch of a step."""
        return self._generate(np.random.default_rng([self._seed, epoch, step, SYNTHETIC_TAG]), self._batch_size)


class EpochBatches(keras.utils.PyDataset):
    """The batches of an epoch for `fit`. Threads load the next ones while a step runs.

    Keras's own queue would start before the epoch is known: with JAX and PyTorch, steps would get batches of another
    epoch. One worker turns it off.

    Args:
        loader: loads the batches.
        threads: load ahead; the owner shuts them down.

    Attributes:
        error: the exception of the last batch that could not be loaded. TensorFlow raises one of its own instead.

    """

    def __init__(self, loader: BatchLoader, threads: ThreadPoolExecutor) -> None:
        super().__init__(workers=1)
        self.error: Exception | None = None
        self._loader, self._threads, self._epoch = loader, threads, 0
        self._ahead: dict[int, Future[Batch]] = {}
        self._lock = threading.Lock()  # backends ask for batches from threads of their own

    def __len__(self) -> int:
        return len(self._loader)

    def __getitem__(self, step: int) -> Batch:
        with self._lock:
            needed = range(step, min(step + 1 + BATCHES_AHEAD, len(self)))
            submitted = {other: self._ahead.get(other) or self._submit(other) for other in needed}
            batch, self._ahead = submitted.pop(step), submitted
        try:
            return batch.result()
        except Exception as error:  # a loader may raise any; `fit` reports it instead of the backend's own error
            self.error = error
            raise

    def set_epoch(self, epoch: int) -> None:
        """Continue with the batches of that epoch, counted from 0 over all phases."""
        with self._lock:
            self._epoch, self._ahead = epoch, {}

    def _submit(self, step: int) -> Future[Batch]:
        return self._threads.submit(self._loader.load, self._epoch, step)

    def for_keras(self) -> Any:
        """What `fit` takes as data: this object, or a `tf.data.Dataset` of it with TensorFlow.

        Keras would make such a dataset as well, with tf.data's autotuner, whose sleeping thread can delay the end of
        `fit` by up to ten seconds.
        """
        if keras.config.backend() != "tensorflow":
            return self
        import tensorflow as tf

        signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), self._loader.load(self._epoch, 0)
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        dataset = tf.data.Dataset.from_generator(lambda: iter(self), output_signature=signature)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self))).with_options(options)


class EpochSetter(keras.callbacks.Callback):
    """Sets the epoch of the training data when the epoch begins: Keras's own hook of a data set has no number.

    Args:
        batches: the training data.
        epochs_before: epochs of earlier phases, so that no phase repeats the orders of another.

    """

    def __init__(self, batches: EpochBatches, epochs_before: int) -> None:
        super().__init__()
        self._batches, self._epochs_before = batches, epochs_before

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Run before Keras loads the first batch of the epoch."""
        self._batches.set_epoch(self._epochs_before + epoch)


def validation_split(num_images: int, num_held_out: int, seed: int) -> NDArray[np.int64]:
    """The indices of the held-out images, int64 [num_held_out]: the first ones of a seeded shuffle."""
    return np.random.default_rng(seed).permutation(num_images)[:num_held_out]
