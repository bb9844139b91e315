from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.packing.shards import Shards, shard_batch, shard_path, split_ids, write_batches, write_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images in two shards; image k holds the value k everywhere."""
    for number, ids in enumerate(([30, 10], [50, 20, 40])):
        image_ids = np.array(ids, np.int64)
        images = np.broadcast_to(image_ids.astype(np.uint8)[:, None, None, None], (len(ids), 4, 3, 1))
        columns = {"image": images, "label": image_ids.astype(np.int32)}
        write_shard(shard_path(tmp_path, "train", number), image_ids, columns)
    return tmp_path


def test_rows_are_ordered_over_all_shards(folder: Path) -> None:
    shards = Shards(folder, "train")
    assert len(shards) == 5
    assert shards.names == ["image", "label"]
    assert shards.image_ids.tolist() == [30, 10, 50, 20, 40]


def test_take_copies_rows_of_several_shards_in_requested_order(folder: Path) -> None:
    shards = Shards(folder, "train")
    rows = shards.take("image", np.array([4, 0, 2, 0]))
    assert rows.shape == (4, 4, 3, 1)
    assert rows.dtype == np.uint8
    assert rows[:, 0, 0, 0].tolist() == [40, 30, 50, 30]
    # a scalar per image is returned as a tensor of shape [1]
    assert shards.take("label", np.array([1, 3])).tolist() == [[10], [20]]


def test_rows_are_found_by_image(folder: Path) -> None:
    assert Shards(folder, "train").rows_of([20, 30]).tolist() == [3, 0]


@pytest.mark.parametrize("unknown", [11, 99])
def test_unknown_image_raises_value_error(folder: Path, unknown: int) -> None:
    with pytest.raises(ValueError, match="an image is not in these shards"):
        Shards(folder, "train").rows_of([20, unknown])


def test_missing_split_is_an_error(folder: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        Shards(folder, "val")
    assert str(raised.value) == f"{folder} holds no images of split 'val'. Check `split` in params.yaml."


def test_columns_of_different_length_raise_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column box has 3 rows, image_ids has 2"):
        write_shard(tmp_path / "x.arrow", np.array([1, 2]), {"box": np.zeros((3, 4), np.float32)})


@pytest.mark.parametrize("outside", [-1, 5])
def test_row_out_of_range_raises_index_error(folder: Path, outside: int) -> None:
    with pytest.raises(IndexError, match="a row is out of range: expected 0 to 4"):
        Shards(folder, "train").take("image", np.array([0, outside]))


def test_batches_of_a_shard_are_concatenated(folder: Path) -> None:
    """The same rows as in `folder`, with the second shard in two batches that share their memory."""
    memory = np.empty((2, 4, 3, 1), np.uint8)

    def batches() -> Iterator[pa.RecordBatch]:
        for ids in ([50, 20], [40]):
            memory[: len(ids)] = np.array(ids)[:, None, None, None]
            yield shard_batch(np.array(ids), {"image": memory[: len(ids)], "label": np.array(ids, np.int32)})

    write_batches(shard_path(folder, "train", 1), shard_batch(np.array([1]), columns_of([1])).schema, batches())
    shards = Shards(folder, "train")
    assert shards.image_ids.tolist() == [30, 10, 50, 20, 40]
    assert shards.take("image", np.array([4, 2, 0, 3]))[:, 3, 2, 0].tolist() == [40, 50, 30, 20]
    assert shards.take("label", np.arange(5)).tolist() == [[30], [10], [50], [20], [40]]
    assert shards.take("label", np.arange(0)).shape == (0, 1)


def columns_of(ids: list[int]) -> dict[str, np.ndarray]:
    return {"image": np.zeros((len(ids), 4, 3, 1), np.uint8), "label": np.array(ids, np.int32)}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_shards_keep_no_file_open(tmp_path: Path) -> None:
    """A process may not have a thousand files open."""
    for number in range(40):
        write_shard(shard_path(tmp_path, "train", number), np.array([number]), columns_of([number]))
    before = open_files()
    shards = Shards(tmp_path, "train")
    assert open_files() == before
    assert len(shards) == 40


IDS = st.sets(st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=60)


@given(ids=IDS, max_images=st.integers(1, 9))
def test_split_ids_covers_each_id_once_within_the_limit(ids: set[int], max_images: int) -> None:
    ascending = np.array(sorted(ids), np.int64)
    parts = [ascending[part].tolist() for part in split_ids(ascending, max_images)]
    assert [image_id for part in parts for image_id in part] == sorted(ids)
    assert all(1 <= len(part) <= max_images for part in parts)


@given(ids=IDS, other=st.integers(0, 2**63 - 1), max_images=st.integers(1, 9))
def test_added_image_changes_only_its_own_range(ids: set[int], other: int, max_images: int) -> None:
    def ranges(some: set[int]) -> set[tuple[int, ...]]:
        ascending = np.array(sorted(some), np.int64)
        return {tuple(ascending[part].tolist()) for part in split_ids(ascending, max_images)}

    without, with_other = ranges(ids - {other}), ranges(ids | {other})
    # The removed ranges are one range, or the two halves that were merged.
    assert len(without - with_other) <= 1
    assert {image_id for part in with_other - without for image_id in part} - {other} == {
        image_id for part in without - with_other for image_id in part
    }


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_ranges_of_evenly_spaced_ids_are_at_least_half_full(step: int) -> None:
    ids = np.arange(1, 10_001) * step
    sizes = [part.stop - part.start for part in split_ids(ids, 100)]
    assert min(sizes[1:-1]) >= 50
    assert len(sizes) <= 2 * 100 + 1
