import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.datasets.rectangles.reader import RectanglesReader
from pipeline.datasets.rectangles.sample import RectanglesSampleWriter, SampleConfig, draw_boxes, paint_boxes
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from tests.support.stages import run_stage

SAMPLE = SampleConfig(seed=11, train_images=40, val_images=7, image_size=50)


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rectangles")
    RectanglesSampleWriter().write(folder, SAMPLE)
    return folder


@given(st.integers(0, 2**32), st.integers(0, 20), st.integers(3, 60))
@example(0, 500, 3)
@example(0, 500, 4)
def test_boxes_leave_outermost_pixels_black_and_are_painted_exactly(seed: int, count: int, image_size: int) -> None:
    boxes_xywh = draw_boxes(np.random.default_rng(seed), count, image_size)
    images = paint_boxes(boxes_xywh, image_size)
    assert images.shape == (count, image_size, image_size, 1)
    assert images.dtype == np.uint8
    for image, (x, y, width, height) in zip(images[..., 0], boxes_xywh, strict=True):
        assert min(x, y, width, height) >= 1
        assert max(x + width, y + height) <= image_size - 1
        expected = np.zeros((image_size, image_size), np.uint8)
        expected[y : y + height, x : x + width] = 255
        np.testing.assert_array_equal(image, expected)


def test_positions_and_sizes_are_uniform() -> None:
    """In 5 pixels, along one axis: a start of 1, 2 or 3, and up to 3, 2 or 1 pixels."""
    boxes_xywh = draw_boxes(np.random.default_rng(7), 36_000, 5)
    for axis in (0, 1):
        drawn, counts = np.unique(boxes_xywh[:, [axis, axis + 2]], axis=0, return_counts=True)
        assert drawn.tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [3, 1]]
        np.testing.assert_allclose(counts, [4000, 4000, 4000, 6000, 6000, 12_000], rtol=0.06)


def test_boxes_do_not_depend_on_number_of_calls() -> None:
    whole = draw_boxes(np.random.default_rng(5), 9, 224)
    random = np.random.default_rng(5)
    np.testing.assert_array_equal(whole, np.concatenate([draw_boxes(random, count, 224) for count in (2, 0, 7)]))


def test_published_figures_are_reproduced() -> None:
    boxes_xywh = draw_boxes(np.random.default_rng(2017), 400_000, 224)
    targets = 1 / (1 + np.exp(-(boxes_xywh / 112 - 1)))
    entropy = -(targets * np.log(targets) + (1 - targets) * np.log1p(-targets)).mean()
    assert entropy == pytest.approx(0.6488, abs=5e-5)
    boxes_xyxy = xywh_to_xyxy(boxes_xywh)
    median = np.broadcast_to(np.median(boxes_xyxy, axis=0), boxes_xyxy.shape)
    assert paired_iou(boxes_xyxy, median).mean() == pytest.approx(0.068, abs=5e-4)


def test_sample_is_reproducible(sample_folder: Path, tmp_path: Path) -> None:
    RectanglesSampleWriter().write(tmp_path, SAMPLE)
    names = ["train.csv", "train.zip", "val.csv", "val.zip"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (sample_folder / name).read_bytes()


def test_more_images_change_neither_first_images_nor_other_split(sample_folder: Path, tmp_path: Path) -> None:
    RectanglesSampleWriter().write(tmp_path, SampleConfig(seed=11, train_images=60, val_images=7, image_size=50))
    assert (tmp_path / "train.csv").read_bytes().startswith((sample_folder / "train.csv").read_bytes())
    assert (tmp_path / "val.zip").read_bytes() == (sample_folder / "val.zip").read_bytes()


def test_default_image_size_is_the_published_one() -> None:
    assert SampleConfig(seed=1, train_images=1, val_images=1).image_size == 224


def test_tables_agree_with_pixels(sample_folder: Path) -> None:
    tables = RectanglesReader().read(sample_folder)
    images, boxes = tables.images.to_pylist(), tables.boxes.to_pylist()
    assert [(split, len(tables.split(split).images)) for split in ("train", "val")] == [("train", 40), ("val", 7)]
    assert [image["image_id"] for image in images] == [box["image_id"] for box in boxes] == list(range(1, 48))
    assert images[41] == {
        "image_id": 42,
        "split": "val",
        "file_name": "000002.png",
        "width": 50,
        "height": 50,
        "archive": "val.zip",
        "member": "val/000002.png",
    }
    for image, box in zip(images, boxes, strict=True):
        with zipfile.ZipFile(sample_folder / image["archive"]) as archive:
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(image["member"]))))
        rows, columns = np.nonzero(pixels == 255)
        seen = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert [box[name] for name in ("x", "y", "width", "height")] == seen
        assert box["area"] == len(rows) == np.count_nonzero(pixels)
    assert tables.categories.to_pylist() == [
        {"category_id": 1, "class_index": 0, "name": "rectangle", "supercategory": "shape"}
    ]


HEADER = b"file_name,top,left,height,width\n"
GOOD = b"a.png,3,5,2,20\n"


def write_rectangles(folder: Path, csv: bytes, image: bytes | None = None) -> None:
    buffer = io.BytesIO()
    Image.new("L", (60, 40)).save(buffer, "PNG")
    for split in ("train", "val"):
        write_archive(folder / f"{split}.zip", [(f"{split}/a.png", image or buffer.getvalue())])
        (folder / f"{split}.csv").write_bytes(csv if split == "val" else HEADER + GOOD)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    write_rectangles(tmp_path, b"width,left,height,file_name,top\r\n20,5,2,a.png,3\r\n")
    train, val = RectanglesReader().read(tmp_path).boxes.to_pylist()
    assert [val[name] for name in ("x", "y", "width", "height")] == [5, 3, 20, 2]
    assert {**train, "box_id": 2, "split": "val", "image_id": 2} == val


def failure(folder: Path, csv: bytes) -> str:
    write_rectangles(folder, csv)
    with pytest.raises(BoxlineError) as raised:
        RectanglesReader().read(folder)
    return str(raised.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("csv", "expected"),
    [
        pytest.param(
            b"file_name,top,left,height\na.png,3,5,2\n",
            "val.csv, line 1: missing column width; received file_name, top, left, height, "
            "expected a header with file_name, top, left, height, width.",
            id="missing column",
        ),
        pytest.param(
            HEADER + GOOD + b"a.png,3,5,2.5,20\n",
            "val.csv, line 3, column height: received '2.5', expected a whole number of pixels.",
            id="fraction of a pixel",
        ),
        pytest.param(
            HEADER + GOOD + b"a.png,3,5,2\n",
            "val.csv, line 3: received 4 fields (a.png,3,5,2), expected 5: file_name, top, left, height, width.",
            id="short row",
        ),
    ],
)
def test_invalid_row_is_reported_with_line_and_column(tmp_path: Path, csv: bytes, expected: str) -> None:
    assert failure(tmp_path, csv) == expected


def test_unreadable_image_has_size_zero(tmp_path: Path) -> None:
    """`inspect` finds the reason, and `validate` quarantines the image."""
    write_rectangles(tmp_path, HEADER + GOOD, b"<html>")
    [image, *_] = RectanglesReader().read(tmp_path).images.to_pylist()
    assert (image["file_name"], image["width"], image["height"]) == ("a.png", 0, 0)


def test_missing_image_has_size_zero_and_others_are_found_by_a_full_path(tmp_path: Path) -> None:
    write_rectangles(tmp_path, HEADER + b"b.png,3,5,2,20\nC:\\data\\a.png,3,5,2,20\n")
    images = [row for row in RectanglesReader().read(tmp_path).images.to_pylist() if row["split"] == "val"]
    assert [(image["member"], image["width"] > 0) for image in images] == [("val/b.png", False), ("val/a.png", True)]


PARAMS = """
seed: 1
checks: {{}}
datasets:
  rectangles:
    module: rectangles
    source: {source}
    sample: {{seed: 11, train_images: 40, val_images: 7, image_size: 50}}
    validate: {{max_quarantined_fraction: 0.0}}
systems: {{}}
"""


def test_upstream_of_unpublished_dataset_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.format(source="upstream"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BoxlineError) as raised:
        run_stage("download", "rectangles")
    assert str(raised.value) == (
        "params.yaml: datasets.rectangles.source: received 'upstream', but rectangles is synthetic and has no "
        "publisher; expected sample, or a folder or an http(s) or s3 address with such files."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("kind", ["sample", "folder"])
def test_sample_and_mirror_give_the_same_download(
    sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.format(source="sample" if kind == "sample" else sample_folder))
    monkeypatch.chdir(tmp_path)
    for stage in ("sample", "download"):
        run_stage(stage, "rectangles")
    received = {path.name: path.read_bytes() for path in Path("data/rectangles/download").iterdir()}
    assert received == {path.name: path.read_bytes() for path in sample_folder.iterdir()}


def test_split_without_rows_has_no_images(tmp_path: Path) -> None:
    write_rectangles(tmp_path, HEADER)
    assert RectanglesReader().read(tmp_path).images["split"].to_pylist() == ["train"]
    (tmp_path / "train.csv").write_bytes(HEADER)
    assert RectanglesReader().read(tmp_path).images.num_rows == 0
