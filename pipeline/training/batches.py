"""Batches for Keras by index, from packed images and targets; the same on every backend.

Which images a batch holds is a function of seed, epoch and step alone. Only indices are shuffled, never pixels, so
memory does not grow with the dataset.
"""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.storage.shards import Shards


class Batches(keras.utils.PyDataset):
    """Pairs (images uint8 [B, size, size, channels], targets by output name).

    `target_rows` chooses the images; None stands for all. With `seed`, each epoch has an order of its own; without,
    every epoch runs through the rows as they are given.
    """

    def __init__(
        self,
        images: Shards,
        targets: Shards,
        batch_size: int,
        target_rows: NDArray[np.int64] | None = None,
        seed: int | None = None,
    ) -> None:
        # With one worker Keras would prefetch through tf.data's autotuner, whose sleeping thread holds up the end of
        # `fit` for up to ten seconds. Two threads prefetch in order and without it.
        super().__init__(workers=2)
        self._images, self._targets = images, targets
        self._batch_size = batch_size
        self._target_rows = np.arange(len(targets)) if target_rows is None else target_rows
        self._image_rows = images.rows_of(targets.image_ids[self._target_rows])
        self._seed = seed
        self.start_epoch(0)

    def __len__(self) -> int:
        return -(-len(self._target_rows) // self._batch_size)

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
        chosen = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        rows = self._target_rows[chosen]
        targets = {name: self._targets.take(name, rows) for name in self._targets.names}
        return self._images.take("image", self._image_rows[chosen]), targets

    def start_epoch(self, epoch: int) -> None:
        """Take the order of that epoch, counted from 0."""
        count = len(self._target_rows)
        if self._seed is None:
            self._order = np.arange(count)
        else:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(count)


class EpochOrder(keras.callbacks.Callback):
    """Tells batches which epoch begins. Keras's own hooks only say that one ended, and also before the first."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls this before it asks for the epoch's first batch."""
        self._batches.start_epoch(epoch)


def hold_out(num_rows: int, num_held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows held out: the first ones of a seeded shuffle."""
    shuffled = np.random.default_rng(seed).permutation(num_rows)
    return shuffled[num_held_out:], shuffled[:num_held_out]
