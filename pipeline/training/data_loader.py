"""Data loaders for Keras: batches by index, from packed images or from a generator, the same on every backend.

The content of a batch depends on seed, epoch and step alone. Only indices are shuffled, never pixels, so memory does
not grow with the dataset.
"""

from collections.abc import Sequence
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

Batch = tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]
"""Images uint8 [B, size, size, channels], and targets by output name."""


class ShardLoader(keras.utils.PyDataset):
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
        # With one worker Keras prefetches through tf.data's autotuner, whose sleeping thread can delay the end of `fit`
        # by up to ten seconds. Two workers prefetch in order and without it.
        super().__init__(workers=2)
        self._images, self._targets = images, targets
        self._batch_size = batch_size
        self._target_names = target_names
        self._target_rows = target_rows
        self._image_rows = images.rows_of(targets.image_ids[self._target_rows])
        self._seed, self._augmentation = seed, augmentation
        self.set_epoch(0)

    def __len__(self) -> int:
        return -(-len(self._target_rows) // self._batch_size)

    def __getitem__(self, step: int) -> Batch:
        chosen = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        rows = self._target_rows[chosen]
        images = self._images.take("image", self._image_rows[chosen])
        if self._augmentation is None:
            return images, {name: self._targets.take(name, rows) for name in self._target_names}
        assert self._seed is not None, "augmentation needs a seed"
        random = np.random.default_rng([self._seed, self._epoch, step, AUGMENTATION_TAG])
        ground_truth = read_annotations(self._targets, rows)
        return images, self._augmentation.apply(images, ground_truth, self._target_names, random)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for that epoch, counted from 0."""
        self._epoch, count = epoch, len(self._target_rows)
        if self._seed is None:
            self._order = np.arange(count)
        else:
            self._order = np.random.default_rng([self._seed, epoch]).permutation(count)


class SyntheticLoader(keras.utils.PyDataset):
    """Generates new images for every step of every epoch.

    Args:
        generate: draws a batch.
        batch_size: images per step.
        steps: steps per epoch, at least 1.
        seed: together with epoch and step, the seed of each batch.

    """

    def __init__(self, generate: BatchGenerator, batch_size: int, steps: int, seed: int) -> None:
        super().__init__(workers=2)
        self._generate, self._batch_size, self._steps, self._seed = generate, batch_size, max(steps, 1), seed
        self.set_epoch(0)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        return self._generate(np.random.default_rng([self._seed, self._epoch, step, SYNTHETIC_TAG]), self._batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Generate the batches of that epoch, counted from 0."""
        self._epoch = epoch


class EpochSetter(keras.callbacks.Callback):
    """Sets the epoch of a data loader when the epoch begins: Keras's own hook of a data set runs only when one ends.

    Args:
        loader: the training data.
        epochs_before: epochs of earlier phases, so that no phase repeats the orders of another.

    """

    def __init__(self, loader: ShardLoader | SyntheticLoader, epochs_before: int) -> None:
        super().__init__()
        self._loader, self._epochs_before = loader, epochs_before

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Run before Keras loads the first batch of the epoch."""
        self._loader.set_epoch(self._epochs_before + epoch)


def validation_split(num_images: int, num_held_out: int, seed: int) -> NDArray[np.int64]:
    """The indices of the held-out images, int64 [num_held_out]: the first ones of a seeded shuffle."""
    return np.random.default_rng(seed).permutation(num_images)[:num_held_out]
