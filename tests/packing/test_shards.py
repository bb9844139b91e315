from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.packing.shards import Shards, id_ranges, shard_batch, shard_path, write_batches, write_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images in two shards; image k holds the value k everywhere."""
    for number, ids in enumerate(([30, 10], [50, 20, 40])):
        image_ids = np.array(ids, np.int64)
        images = np.broadcast_to(image_ids.astype(np.uint8)[:, None, None, None], (len(ids), 4, 3, 1))
        columns = {"image": images, "label": image_ids.astype(np.int32)}
        write_shard(shard_path(tmp_path, "train", number), image_ids, columns)
    return tmp_path


def test_rows_run_through_all_shards_in_order(folder: Path) -> None:
    shards = Shards(folder, "train")
    assert len(shards) == 5
    assert shards.names == ["image", "label"]
    assert shards.image_ids.tolist() == [30, 10, 50, 20, 40]


def test_a_batch_takes_rows_of_several_shards_in_the_order_asked_for(folder: Path) -> None:
    shards = Shards(folder, "train")
    taken = shards.take("image", np.array([4, 0, 2, 0]))
    assert taken.shape == (4, 4, 3, 1)
    assert taken.dtype == np.uint8
    assert taken[:, 0, 0, 0].tolist() == [40, 30, 50, 30]
    # one number per image comes back as a tensor of one number
    assert shards.take("label", np.array([1, 3])).tolist() == [[10], [20]]


def test_rows_are_found_by_image(folder: Path) -> None:
    assert Shards(folder, "train").rows_of([20, 30]).tolist() == [3, 0]


@pytest.mark.parametrize("unknown", [11, 99])
def test_an_image_that_is_not_there(folder: Path, unknown: int) -> None:
    with pytest.raises(ValueError, match="an image is not in these shards"):
        Shards(folder, "train").rows_of([20, unknown])


def test_a_split_that_is_not_there(folder: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        Shards(folder, "val")
    assert str(raised.value) == f"{folder} holds no images of split 'val'. Check `split` in params.yaml."


def test_columns_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column box has 3 rows, image_ids has 2"):
        write_shard(tmp_path / "x.arrow", np.array([1, 2]), {"box": np.zeros((3, 4), np.float32)})


@pytest.mark.parametrize("outside", [-1, 5])
def test_rows_that_are_not_there(folder: Path, outside: int) -> None:
    with pytest.raises(IndexError, match="rows from 0 to 4 are here"):
        Shards(folder, "train").take("image", np.array([0, outside]))


def test_batches_of_a_file_follow_one_another(folder: Path) -> None:
    """As the folder has it, with the second shard in two batches that were written from the same memory."""
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


def test_shards_hold_no_file_open(tmp_path: Path) -> None:
    """A thousand shards are more than a process may have open."""
    for number in range(40):
        write_shard(shard_path(tmp_path, "train", number), np.array([number]), columns_of([number]))
    before = open_files()
    shards = Shards(tmp_path, "train")
    assert open_files() == before
    assert len(shards) == 40


IDS = st.sets(st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)), max_size=60)


@given(ids=IDS, most=st.integers(1, 9))
def test_ranges_of_ids_hold_each_once_and_not_too_many(ids: set[int], most: int) -> None:
    ascending = np.array(sorted(ids), np.int64)
    parts = [ascending[part].tolist() for part in id_ranges(ascending, most)]
    assert [image_id for part in parts for image_id in part] == sorted(ids)
    assert all(1 <= len(part) <= most for part in parts)


@given(ids=IDS, other=st.integers(0, 2**63 - 1), most=st.integers(1, 9))
def test_one_more_image_changes_no_range_but_its_own(ids: set[int], other: int, most: int) -> None:
    def ranges(some: set[int]) -> set[tuple[int, ...]]:
        ascending = np.array(sorted(some), np.int64)
        return {tuple(ascending[part].tolist()) for part in id_ranges(ascending, most)}

    without, with_it = ranges(ids - {other}), ranges(ids | {other})
    # What went is one range, or the two halves that were joined.
    assert len(without - with_it) <= 1
    assert {image_id for part in with_it - without for image_id in part} - {other} == {
        image_id for part in without - with_it for image_id in part
    }


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_ranges_of_even_ids_are_more_than_half_full(step: int) -> None:
    ids = np.arange(1, 10_001) * step
    sizes = [part.stop - part.start for part in id_ranges(ids, 100)]
    assert min(sizes[1:-1]) >= 50
    assert len(sizes) <= 2 * 100 + 1
