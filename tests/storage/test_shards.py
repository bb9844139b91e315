from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import BoxlineError
from pipeline.storage.shards import Shards, shard_path, write_shard


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
