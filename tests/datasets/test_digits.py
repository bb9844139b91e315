import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.datasets.digits.reader import DigitsReader
from pipeline.datasets.digits.sample import DigitsSampleWriter, SampleConfig

SEED = 11
ARCHIVE = "MNIST/MNIST_Converted_Training.zip"


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    DigitsSampleWriter().write(folder, SampleConfig(seed=SEED, train_images=200, test_images=40))
    return folder


def test_sample_is_reproducible(sample_folder: Path, tmp_path: Path) -> None:
    DigitsSampleWriter().write(tmp_path, SampleConfig(seed=SEED, train_images=200, test_images=40))
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert [str(path) for path in files] == [
        "MNIST/MNIST_Converted_Testing.zip",
        ARCHIVE,
        "MNIST/test_data.csv",
        "MNIST/training_data.csv",
    ]
    for path in files:
        assert (tmp_path / path).read_bytes() == (sample_folder / path).read_bytes()


def test_every_bright_pixel_is_inside_the_box(sample_folder: Path) -> None:
    tables = DigitsReader().read(sample_folder)
    boxes = tables.boxes.to_pylist()
    with zipfile.ZipFile(sample_folder / ARCHIVE) as archive:
        for image, box in zip(tables.images.to_pylist()[:200], boxes, strict=False):
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(image["member"]))))
            assert pixels.shape == (100, 100)
            assert (box["width"], box["height"]) == (pytest.approx(28), pytest.approx(28))
            rows, columns = np.nonzero(pixels > 32)
            assert len(rows) >= 20, f"{image['file_name']} is nearly black"
            assert box["x"] - 1e-6 <= columns.min() <= columns.max() < box["x"] + 28 + 1e-6
            assert box["y"] - 1e-6 <= rows.min() <= rows.max() < box["y"] + 28 + 1e-6


def test_all_digits_occur_and_all_images_differ(sample_folder: Path) -> None:
    tables = DigitsReader().read(sample_folder)
    assert set(tables.boxes["category_id"].to_pylist()) == set(range(1, 11))
    with zipfile.ZipFile(sample_folder / ARCHIVE) as archive:
        assert len({archive.read(name) for name in archive.namelist()}) == 200


def test_tables_agree_with_csv(sample_folder: Path) -> None:
    tables = DigitsReader().read(sample_folder)
    lines = (sample_folder / "MNIST" / "test_data.csv").read_text().splitlines()
    file_name, digit, *corners = lines[3].split(",")
    xmin, ymin, xmax, ymax = map(float, corners)
    image, box = tables.images.to_pylist()[203], tables.boxes.to_pylist()[203]
    assert (image["image_id"], image["split"], image["file_name"]) == (204, "test", file_name)
    assert image["member"] == f"MNIST_Converted_Testing/{file_name}"
    # digit 0 is category 1, because 0 means "no match" in COCO tools
    assert (box["box_id"], box["image_id"], box["category_id"]) == (204, 204, int(digit) + 1)
    assert [box[name] for name in ("x", "y", "width", "height")] == pytest.approx(
        [100 * xmin, 100 * ymin, 100 * (xmax - xmin), 100 * (ymax - ymin)]
    )
    assert tables.categories.to_pylist()[7] == {
        "category_id": 8,
        "class_index": 7,
        "name": "7",
        "supercategory": "digit",
    }


def write_digits(folder: Path, csv: bytes, image: bytes | None = None) -> None:
    buffer = io.BytesIO()
    Image.new("L", (100, 50)).save(buffer, "PNG")
    write_archive(folder / ARCHIVE, [("MNIST_Converted_Training/a.png", image or buffer.getvalue())])
    (folder / "MNIST" / "training_data.csv").write_bytes(csv)
    test_members = [("MNIST_Converted_Testing/a.png", buffer.getvalue())]
    write_archive(folder / "MNIST" / "MNIST_Converted_Testing.zip", test_members)
    (folder / "MNIST" / "test_data.csv").write_bytes(GOOD)


def failure(folder: Path, csv: bytes) -> str:
    write_digits(folder, csv)
    with pytest.raises(BoxlineError) as raised:
        DigitsReader().read(folder)
    return str(raised.value).replace(f"{folder}/", "")


GOOD = b"a.png,4,0.2,0.5,0.48,0.81\n"
CSV = "MNIST/training_data.csv"


def test_boxes_scale_with_width_and_height_and_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    write_digits(tmp_path, b"\xef\xbb\xbf" + GOOD)
    box, _ = DigitsReader().read(tmp_path).boxes.to_pylist()
    assert [box[name] for name in ("x", "y", "width", "height")] == pytest.approx([20, 25, 28, 15.5])


@pytest.mark.parametrize(
    ("csv", "expected"),
    [
        pytest.param(
            GOOD + b"a.png,4,0.2,0.5,0.48\n",
            f"{CSV}, line 2: received 5 fields (a.png,4,0.2,0.5,0.48), "
            "expected 6: file name, label, xmin, ymin, xmax, ymax.",
            id="missing field",
        ),
        pytest.param(
            GOOD + GOOD + b"a.png,seven,0.2,0.5,0.48,0.81\n",
            f"{CSV}, line 3, column label: received 'seven', expected a digit from 0 to 9.",
            id="bad label",
        ),
        pytest.param(
            b"a.png,,0.2,0.5,0.48,0.81\n",
            f"{CSV}, line 1, column label: received '', expected a digit from 0 to 9.",
            id="no label",
        ),
        pytest.param(
            b"a.png,4,abc,0.5,0.48,0.81\n",
            f"{CSV}, line 1, column xmin: received 'abc', expected a fraction of the image.",
            id="not a number",
        ),
        pytest.param(
            b"a.png,4,0.2,0.5,0.48,nan\n",
            f"{CSV}, line 1, column ymax: received 'nan', expected a fraction of the image.",
            id="nan",
        ),
        pytest.param(
            b"a.png,4,0.2,0.5,0.48,0.81\na.png,4,0.2,0.5,0.48,\xe9\n",
            rf"{CSV}, line 2, column ymax: received the bytes b'\xe9', which are not UTF-8. Save the file as UTF-8.",
            id="not UTF-8",
        ),
    ],
)
def test_invalid_row_is_reported_with_line_and_column(tmp_path: Path, csv: bytes, expected: str) -> None:
    assert failure(tmp_path, csv) == expected


def test_unreadable_image_has_size_zero(tmp_path: Path) -> None:
    """`inspect` finds the reason, and `validate` quarantines the image."""
    write_digits(tmp_path, GOOD, b"<html>")
    [image, *_] = DigitsReader().read(tmp_path).images.to_pylist()
    assert (image["file_name"], image["width"], image["height"]) == ("a.png", 0, 0)


def test_missing_image_has_size_zero_and_the_others_are_read(tmp_path: Path) -> None:
    """`inspect` says what is nearest, and `validate` quarantines the image."""
    write_digits(tmp_path, b"b.png,4,0.2,0.5,0.48,0.81\n" + GOOD)
    missing, good, *_ = DigitsReader().read(tmp_path).images.to_pylist()
    assert (missing["member"], missing["width"]) == ("MNIST_Converted_Training/b.png", 0)
    assert (good["member"], good["width"]) == ("MNIST_Converted_Training/a.png", 100)


def test_image_is_found_by_a_name_in_another_form(tmp_path: Path) -> None:
    write_digits(tmp_path, b".\\A.PNG,4,0.2,0.5,0.48,0.81\n")
    [image, *_] = DigitsReader().read(tmp_path).images.to_pylist()
    assert (image["file_name"], image["member"]) == (".\\A.PNG", "MNIST_Converted_Training/a.png")


def test_split_without_rows_has_no_images(tmp_path: Path) -> None:
    write_digits(tmp_path, GOOD)
    for name, splits in (("test_data.csv", ["train"]), ("training_data.csv", [])):
        (tmp_path / "MNIST" / name).write_bytes(b"\r\n")
        assert DigitsReader().read(tmp_path).images["split"].to_pylist() == splits


def test_missing_label_file_is_an_error(sample_folder: Path, tmp_path: Path) -> None:
    write_digits(tmp_path, GOOD)
    (tmp_path / CSV).unlink()
    with pytest.raises(BoxlineError) as raised:
        DigitsReader().read(tmp_path)
    assert str(raised.value) == f"{tmp_path}/{CSV} not found. `dvc repro` downloads it."
