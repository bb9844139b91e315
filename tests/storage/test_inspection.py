"""What `inspect` says of image files, good and bad."""

import hashlib
import io
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline import schema
from pipeline.storage.archives import ArchiveFolder, write_archive
from pipeline.storage.inspection import inspect_images
from tests.scenes import image


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SCENE = np.zeros((32, 64, 3), np.uint8)
SCENE[:16, 32:] = 255  # the upper right quarter
CONTENTS = {
    "scene.png": encoded(SCENE, "PNG"),
    "turned.jpg": encoded(SCENE, "JPEG", exif=turned()),
    "deep.png": encoded(np.full((20, 30), 40_000, np.uint16), "PNG"),
    "page.jpg": b"<html>404</html>",
    "cut.jpg": encoded(SCENE, "JPEG")[:-20],
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("inspected")
    with ThreadPoolExecutor(2) as executor:
        table = inspect_images(images_of(folder), ArchiveFolder(folder), executor)
    assert table.schema == schema.FILES
    return dict(zip([*CONTENTS, "none.jpg"], table.to_pylist(), strict=True))


def images_of(folder: Path) -> pa.Table:
    write_archive(folder / "zips" / "val2017.zip", CONTENTS.items())
    names = [*CONTENTS, "none.jpg"]
    return pa.Table.from_pylist(
        [{**image(10 * number + 3), "member": name} for number, name in enumerate(names)], schema.IMAGES
    )


def facts(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("format", "mode", "width", "height", "orientation", "problem"))


def test_facts_of_good_files(rows: dict[str, dict[str, object]]) -> None:
    assert [row["image_id"] for row in rows.values()] == [3, 13, 23, 33, 43, 53]
    assert facts(rows["scene.png"]) == ("PNG", "RGB", 64, 32, 1, None)
    assert facts(rows["turned.jpg"]) == ("JPEG", "RGB", 64, 32, 6, None)
    assert facts(rows["deep.png"]) == ("PNG", "I;16", 30, 20, 1, None)
    assert rows["scene.png"]["sha256"] == hashlib.sha256(CONTENTS["scene.png"]).hexdigest()
    assert rows["scene.png"]["size_bytes"] == len(CONTENTS["scene.png"])


def test_thumbnails_show_the_image_row_by_row(rows: dict[str, dict[str, object]]) -> None:
    thumbnail = np.frombuffer(rows["scene.png"]["thumbnail"], np.uint8).reshape(16, 16)
    assert (thumbnail[:8, 8:] == 255).all()
    assert thumbnail.sum() == 255 * 64
    assert set(rows["deep.png"]["thumbnail"]) == {round(40_000 / 257)}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("page.jpg", "member page.jpg does not decode (no known image format)."),
        ("cut.jpg", "member cut.jpg does not decode (image file is truncated (4 bytes not processed))."),
    ],
)
def test_files_that_do_not_decode(rows: dict[str, dict[str, object]], name: str, problem: str) -> None:
    row = rows[name]
    assert str(row["problem"]).partition(".zip: ")[2] == problem
    assert row["sha256"] == hashlib.sha256(CONTENTS[name]).hexdigest()
    assert row["thumbnail"] is None


def test_a_file_that_is_not_there(rows: dict[str, dict[str, object]]) -> None:
    assert rows["none.jpg"]["problem"] == "not in its archive"
    assert rows["none.jpg"]["sha256"] is None


@pytest.mark.slow
def test_any_executor_finds_the_same(tmp_path: Path) -> None:
    images = images_of(tmp_path)

    def found(executor: Executor) -> pa.Table:
        with executor:
            return inspect_images(images, ArchiveFolder(tmp_path), executor)

    threads = found(ThreadPoolExecutor(2))
    assert found(ProcessPoolExecutor(2, mp_context=get_context("spawn"))).equals(threads)
