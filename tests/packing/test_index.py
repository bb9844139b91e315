from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.geometry.resize import BOX_TRANSFORMS, ResizeTransform
from pipeline.packing.config import PackConfig, Resize
from pipeline.packing.index import read_transforms, write_transforms
from tests.support.scenes import image


def pack(resize: Resize, image_size: int = 160) -> PackConfig:
    return PackConfig(image_size=image_size, channels=3, resize=resize, shard_images=1)


def test_index_of_hand_computed_transforms(tmp_path: Path) -> None:
    rows = [image(7, "train", 640, 426), image(3, "val", 100, 80), image(5, "train", 80, 100)]
    write_transforms(tmp_path, pa.Table.from_pylist(rows, schema.IMAGES), pack("letterbox"))
    index = pq.read_table(tmp_path / "index.parquet")
    assert index.schema == schema.PACK_INDEX
    # 640 x 426 -> 160 x 106 (106.5 rounds to even) with 27 rows above; 100 x 80 -> 160 x 128 with 16 above
    assert [tuple(row.values()) for row in index.to_pylist()] == [
        (7, "train", 640, 426, 160, 160, 106, 0, 27),
        (3, "val", 100, 80, 160, 160, 128, 0, 16),
        (5, "train", 80, 100, 160, 128, 160, 16, 0),
    ]
    assert list(read_transforms(tmp_path, "train").items()) == [
        (7, ResizeTransform(640, 426, 160, 160, 106, 0, 27)),
        (5, ResizeTransform(80, 100, 160, 128, 160, 16, 0)),
    ]
    assert read_transforms(tmp_path, "test") == {}


@given(
    sizes=st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=20),
    resize=st.sampled_from(["letterbox", "crop", "stretch"]),
    image_size=st.integers(1, 448),
)
def test_transforms_round_trip_through_the_index(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]], resize: Resize, image_size: int
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    rows = [image(number, "train", *size) for number, size in enumerate(sizes, start=1)]
    write_transforms(folder, pa.Table.from_pylist(rows, schema.IMAGES), pack(resize, image_size))
    expected = [BOX_TRANSFORMS[resize](*size, image_size) for size in sizes]
    assert list(read_transforms(folder, "train").values()) == expected


def test_missing_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        read_transforms(tmp_path, "train")
    assert str(raised.value) == f"{tmp_path}/index.parquet not found. `dvc repro` builds it."
