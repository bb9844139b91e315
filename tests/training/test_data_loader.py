from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.systems.common.target_annotations import annotation_columns
from pipeline.systems.digits_localizer.config import TargetsConfig
from pipeline.systems.digits_localizer.targets import DigitsCodec
from pipeline.training.augmentation import Augmentation
from pipeline.training.config import AugmentConfig
from pipeline.training.data_loader import (
    BATCHES_AHEAD,
    Batch,
    BatchLoader,
    EpochBatches,
    ShardLoader,
    SyntheticLoader,
    validation_split,
)
from tests.support.scenes import ground_truth

NAMES = ["bbox", "label"]
ALL = np.arange(5)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Shards, Shards]:
    """Seven packed images in two shards, and targets for five of them in another order; all values are the image id."""
    images, targets = tmp_path / "pack", tmp_path / "targets"
    images.mkdir()
    targets.mkdir()
    for number, ids in enumerate(([1, 2, 3, 4], [5, 6, 7])):
        pixels = np.broadcast_to(np.array(ids, np.uint8)[:, None, None, None], (len(ids), 2, 2, 3))
        write_shard(shard_path(images, "train", number), np.array(ids), {"image": pixels})
    ids = np.array([6, 2, 7, 3, 1])
    columns = {"label": ids.astype(np.int32), "bbox": np.repeat(ids[:, None], 4, axis=1).astype(np.float32)}
    write_shard(shard_path(targets, "train", 0), ids, columns)
    return Shards(images, "train"), Shards(targets, "train")


def ids_of_epoch(loader: ShardLoader, epoch: int = 0) -> list[list[int]]:
    """The image ids of each batch; pixels and targets must belong to the same image."""
    batches = []
    for step in range(len(loader)):
        images, targets = loader.load(epoch, step)
        ids = targets["label"][:, 0]
        np.testing.assert_array_equal(images[:, 1, 0, 2], ids)
        np.testing.assert_array_equal(targets["bbox"][:, 3], ids)
        batches.append(ids.tolist())
    return batches


def test_rows_keep_their_order_without_seed(folders: tuple[Shards, Shards]) -> None:
    loader = ShardLoader(*folders, 2, NAMES, ALL)
    assert ids_of_epoch(loader, 0) == ids_of_epoch(loader, 1) == [[6, 2], [7, 3], [1]]


def test_only_target_rows_are_loaded(folders: tuple[Shards, Shards]) -> None:
    assert ids_of_epoch(ShardLoader(*folders, 2, NAMES, np.array([4, 1]))) == [[1, 2]]


def test_order_depends_on_seed_and_epoch(folders: tuple[Shards, Shards]) -> None:
    orders = []
    for _ in range(2):
        loader = ShardLoader(*folders, 2, NAMES, ALL, seed=5)
        orders.append([ids_of_epoch(loader, epoch) for epoch in range(3)])
    assert orders[0] == orders[1]
    first, second, third = orders[0]
    assert first != second != third
    for epoch in orders[0]:
        assert sorted(image_id for batch in epoch for image_id in batch) == [1, 2, 3, 6, 7]
    assert ids_of_epoch(ShardLoader(*folders, 2, NAMES, ALL, seed=6)) != first


def test_only_named_targets_are_loaded(folders: tuple[Shards, Shards]) -> None:
    _, targets = ShardLoader(*folders, 2, ["bbox"], ALL).load(0, 0)
    assert list(targets) == ["bbox"]


def test_synthetic_batches_depend_on_seed_epoch_and_step() -> None:
    def generate(random: np.random.Generator, count: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        pixels = random.integers(0, 256, (count, 2, 2, 1)).astype(np.uint8)
        return pixels, {"brightness": pixels.mean(axis=(1, 2))}

    def drawn(seed: int) -> list[list[float]]:
        loader = SyntheticLoader(generate, batch_size=3, steps=2, seed=seed)
        batches = [loader.load(epoch, step) for epoch in (0, 1) for step in range(len(loader))]
        return [targets["brightness"].ravel().tolist() for _, targets in batches]

    assert drawn(4) == drawn(4) != drawn(5)
    assert len({tuple(batch) for batch in drawn(4)}) == 4


def test_synthetic_batches_differ_from_datasets_with_the_same_seed() -> None:
    drawn = []
    loader = SyntheticLoader(lambda random, count: drawn.append(random.random()), batch_size=3, steps=2, seed=2017)
    for epoch in range(3):
        for step in range(2):
            loader.load(epoch, step)
    of_datasets = [np.random.default_rng([2017, split]).random() for split in range(4)]
    assert len(set(drawn)) == 6
    assert set(drawn).isdisjoint(of_datasets)


def test_validation_split_is_a_seeded_choice() -> None:
    held_out = validation_split(10, 3, seed=1)
    assert len(set(held_out.tolist())) == 3
    assert held_out.tolist() != [0, 1, 2]
    np.testing.assert_array_equal(validation_split(10, 3, seed=1), held_out)


MOVES = AugmentConfig(flip_probability=0.5, max_translate_fraction=0.2, scale=(0.8, 1.2), rotate_degrees=0, color=None)
ENCODE = Augmentation(MOVES, lambda boxes: DigitsCodec().encode(boxes, TargetsConfig()))


@pytest.fixture
def painted(tmp_path: Path) -> tuple[Shards, Shards]:
    """Six images of one white rectangle each, wider with every label. The stored targets are wrong on purpose."""
    ids = np.arange(1, 7)
    model_inputs = np.zeros((6, 32, 32, 1), np.uint8)
    boxes = [(4 + row, 12, 8 + row, 10) for row in range(6)]
    for model_input, (left, top, width, height) in zip(model_inputs, boxes, strict=True):
        model_input[top : top + height, left : left + width] = 255
    examples = [ground_truth(np.array(box) / 32, [row]) for row, box in enumerate(boxes)]
    stored = {"bbox": np.full((6, 4), 0.5, np.float32), "label": np.full((6, 1), 9, np.int32)}
    write_shard(shard_path(tmp_path / "pack", "train", 0), ids, {"image": model_inputs})
    write_shard(shard_path(tmp_path / "targets", "train", 0), ids, stored | annotation_columns(examples, 3))
    return Shards(tmp_path / "pack", "train"), Shards(tmp_path / "targets", "train")


def test_augmented_targets_match_the_augmented_pixels(painted: tuple[Shards, Shards]) -> None:
    loader = ShardLoader(*painted, 4, NAMES, np.arange(6), seed=1, augmentation=ENCODE)
    seen = []
    for epoch in range(4):
        for step in range(2):
            images, targets = loader.load(epoch, step)
            for image, bbox, label in zip(images, targets["bbox"], targets["label"], strict=True):
                rows, columns = np.nonzero(image[..., 0] > 127)
                edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                np.testing.assert_allclose(bbox * 32, edges, atol=0.51)
                seen.append((int(label[0]), *bbox.tolist()))
    assert sorted(label for label, *_ in seen) == sorted(4 * list(range(6)))
    assert len(set(seen)) == 24


def test_augmentation_depends_on_seed_epoch_and_step(painted: tuple[Shards, Shards]) -> None:
    def drawn(seed: int, epoch: int, step: int) -> bytes:
        loader = ShardLoader(*painted, 2, NAMES, np.arange(6), seed=seed, augmentation=ENCODE)
        images, targets = loader.load(epoch, step)
        return images.tobytes() + targets["bbox"].tobytes()

    assert drawn(1, 2, 1) == drawn(1, 2, 1)
    assert len({drawn(1, 2, 1), drawn(1, 2, 0), drawn(1, 1, 1), drawn(2, 2, 1)}) == 4


def test_stored_targets_are_loaded_without_augmentation(painted: tuple[Shards, Shards]) -> None:
    _, targets = ShardLoader(*painted, 6, NAMES, np.arange(6), seed=1).load(0, 0)
    assert sorted(targets) == NAMES
    assert (targets["label"] == 9).all()


STEPS = 12
BROKEN_STEP = 3


class NamedBatches(BatchLoader):
    """The pixel of a batch names its epoch and step. One step of epoch 1 cannot be loaded."""

    def __init__(self) -> None:
        self.loaded: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return STEPS

    def load(self, epoch: int, step: int) -> Batch:
        self.loaded.append((epoch, step))
        if (epoch, step) == (1, BROKEN_STEP):
            raise OSError(f"Step {step} of epoch {epoch} cannot be read.")
        return np.full((1, 1), 20 * epoch + step, np.uint8), {}


@given(
    st.lists(st.tuples(st.sampled_from([0, 2, 5]), st.lists(st.integers(0, STEPS - 1), max_size=8)), max_size=5),
    st.booleans(),
)
def test_any_step_of_any_epoch_gets_its_own_batch(epochs: list[tuple[int, list[int]]], in_order: bool) -> None:
    """Also if a backend asks twice, stops early, or asks before the epoch begins."""
    with ThreadPoolExecutor(2) as threads:
        batches = EpochBatches(NamedBatches(), threads)
        assert batches[0][0].item() == 0
        for epoch, steps in epochs:
            batches.set_epoch(epoch)
            for step in sorted(steps) if in_order else steps:
                assert batches[step][0].item() == 20 * epoch + step


def test_a_few_batches_are_loaded_ahead() -> None:
    loader = NamedBatches()
    with ThreadPoolExecutor(2) as threads:
        batches = EpochBatches(loader, threads)
        batches[0], batches[1]
    assert sorted(loader.loaded) == [(0, step) for step in range(1 + 1 + BATCHES_AHEAD)]


def test_no_batch_is_loaded_behind_the_epoch() -> None:
    loader = NamedBatches()
    with ThreadPoolExecutor(2) as threads:
        batches = EpochBatches(loader, threads)
        assert [batch.item() for batch, _ in batches] == list(range(STEPS))
    assert sorted(loader.loaded) == [(0, step) for step in range(STEPS)]


def test_an_error_is_raised_at_its_own_step_and_no_other() -> None:
    with ThreadPoolExecutor(2) as threads:
        batches = EpochBatches(NamedBatches(), threads)
        for _ in range(2):
            batches.set_epoch(1)
            for step in range(BROKEN_STEP):
                assert batches[step][0].item() == 20 + step
            with pytest.raises(OSError, match=r"^Step 3 of epoch 1 cannot be read\.$") as raised:
                batches[BROKEN_STEP]
            assert batches.error is raised.value
            assert batches[BROKEN_STEP + 1][0].item() == 20 + BROKEN_STEP + 1
        batches.set_epoch(1)
        batches[0]  # the broken step is loaded ahead, and nobody asks for it
        batches.set_epoch(2)
        assert batches[BROKEN_STEP][0].item() == 40 + BROKEN_STEP
