"""Batches for Keras by index, from packed images and targets or drawn anew; the same on every backend.

Which images a batch holds is a function of seed, epoch and step alone. Only indices are shuffled, never pixels, so
memory does not grow with the dataset.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.packing.shards import Shards
from pipeline.systems.interfaces import BatchGenerator
from pipeline.systems.target_annotations import read_annotations
from pipeline.training.augmentation import Augmentation

STREAM, CHANGES = 1, 2
"""End the seeds of a stream and of augmentation. NumPy takes trailing zeros for nothing: without such an end the first
step of an epoch would draw what a dataset with the seed [seed, epoch] holds."""


class ShardLoader(keras.utils.PyDataset):
    """Pairs (images uint8 [B, size, size, channels], targets by output name).

    `names` chooses the targets, `target_rows` the examples. With `seed`, each epoch has an order of its own; without,
    every epoch runs through the rows as they are given. `augmentation`, which needs a seed, changes images and encodes
    their boxes anew.
    """

    def __init__(
        self,
        images: Shards,
        targets: Shards,
        batch_size: int,
        names: Sequence[str],
        target_rows: NDArray[np.int64],
        seed: int | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        # With one worker Keras would prefetch through tf.data's autotuner, whose sleeping thread holds up the end of
        # `fit` for up to ten seconds. Two threads prefetch in order and without it.
        super().__init__(workers=2)
        self._images, self._targets = images, targets
        self._batch_size = batch_size
        self._names = names
        self._target_rows = target_rows
        self._image_rows = images.rows_of(targets.image_ids[self._target_rows])
        self._seed, self._augmentation = seed, augmentation
        self.set_epoch(0)

    def __len__(self) -> int:
        return -(-len(self._target_rows) // self._batch_size)

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
        chosen = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        rows = self._target_rows[chosen]
        images = self._images.take("image", self._image_rows[chosen])
        if self._augmentation is None:
            return images, {name: self._targets.take(name, rows) for name in self._names}
        assert self._seed is not None, "images change by the seed of their order"
        random = np.random.default_rng([self._seed, self._epoch, step, CHANGES])
        return images, self._augmentation.apply(images, read_annotations(self._targets, rows), self._names, random)

    def set_epoch(self, epoch: int) -> None:
        """Take the order of that epoch, counted from 0."""
        self._epoch, count = epoch, len(self._target_rows)
        if self._seed is None:
            self._order = np.arange(count)
        else:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(count)


class SyntheticLoader(keras.utils.PyDataset):
    """Batches of images that are drawn anew for every step of every epoch: an endless source."""

    def __init__(self, draw: BatchGenerator, batch_size: int, steps: int, seed: int) -> None:
        super().__init__(workers=2)
        self._draw, self._batch_size, self._steps, self._seed = draw, batch_size, max(steps, 1), seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
        return self._draw(np.random.default_rng([self._seed, self._epoch, step, STREAM]), self._batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Draw what belongs to that epoch, counted from 0."""
        self._epoch = epoch


class EpochSeed(keras.callbacks.Callback):
    """Tells batches which epoch begins. Keras's own hooks only say that one ended, and also before the first.

    epochs_before: of the phases before this one, so that no phase goes through the orders of another once more.
    """

    def __init__(self, batches: ShardLoader | SyntheticLoader, epochs_before: int) -> None:
        super().__init__()
        self._batches, self._epochs_before = batches, epochs_before

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls this before it asks for the epoch's first batch."""
        self._batches.set_epoch(self._epochs_before + epoch)


def validation_split(num_images: int, num_held_out: int, seed: int) -> NDArray[np.int64]:
    """Which images are held out: the first ones of a seeded shuffle."""
    return np.random.default_rng(seed).permutation(num_images)[:num_held_out]
