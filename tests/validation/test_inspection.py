"""The inspection of valid and invalid image files."""

import hashlib
import io
import struct
import zlib
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from pipeline.validation.inspection import inspect_images
from tests.archives.test_zip_archive import FAULTS
from tests.support.scenes import image
from tests.support.tiny_project import PROJECT

BROKEN_IMAGES = PROJECT.parent / "shared" / "data" / "broken" / "images"

Rows = dict[str, dict[str, object]]


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(kind: int, content: bytes) -> bytes:
    """EXIF data with an orientation tag of that type: 2 is text, 3 a number in the first two bytes."""
    return b"Exif\0\0" + b"MM\0*" + struct.pack(">IHHHI4sI", 8, 1, 0x0112, kind, 4 if kind == 2 else 1, content, 0)


def huge_png(side: int) -> bytes:
    """A few bytes that declare side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def bad_tiff() -> bytes:
    """A file whose header declares a number to be text, for which Pillow raises a TypeError."""
    content = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "TIFF"))
    [at] = [at for at in range(10, 200, 12) if content[at : at + 2] == b"\x11\x01"]  # StripOffsets
    content[at + 2] = 2
    return bytes(content)


SCENE = np.zeros((32, 64, 3), np.uint8)
SCENE[:16, 32:] = 255  # the upper right quarter
COLORS = np.random.default_rng(4).integers(0, 256, (48, 80, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)
CONTENTS = {
    "scene.png": encoded(SCENE, "PNG"),
    "rotated.jpg": encoded(SCENE, "JPEG", exif=exif(3, b"\0\x06")),
    "invalid orientation.jpg": encoded(SCENE, "JPEG", exif=exif(3, b"\0\x09")),
    "orientation as text.jpg": encoded(SCENE, "JPEG", exif=exif(2, b"left")),
    "corrupt exif.webp": encoded(SCENE, "WEBP", exif=b"Exif\0\0MM\0\0\0\0\0\x08"),
    "deep.png": encoded(np.full((20, 30), 40_000, np.uint16), "PNG"),
    "colors.jpg": encoded(COLORS, "JPEG", quality=95),
    "cmyk.jpg": encoded(SCENE, "JPEG", "CMYK"),
    "palette.png": encoded(SCENE, "PNG", "P"),
    "pixel.png": encoded(SCENE[:1, :1], "PNG"),
    "nothing.jpg": b"",
    "page.jpg": b"<html>404</html>",
    "header.jpg": encoded(SCENE, "JPEG")[:20],
    "cut.jpg": encoded(SCENE, "JPEG")[:-20],
    "bomb.png": huge_png(30_000),
    "bad header.tif": bad_tiff(),
    "deep.pgm": b"P5 2 1 65535\n\x9c\x40\x00\x00",
    "float.tif": encoded(np.full((20, 30), 0.5, np.float32), "TIFF"),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder = tmp_path_factory.mktemp("inspected")
    with ThreadPoolExecutor(2) as executor:
        table = inspect_images(images_of(folder), ArchiveFolder(folder), executor)
    assert table.schema == schema.FILES
    return dict(zip([*CONTENTS, "none.jpg"], table.to_pylist(), strict=True))


def images_of(folder: Path, contents: dict[str, bytes] = CONTENTS) -> pa.Table:
    """The images of an archive, and one without a file."""
    write_archive(folder / "zips" / "val2017.zip", contents.items())
    names = [*contents, "none.jpg"]
    return pa.Table.from_pylist(
        [{**image(10 * number + 3), "member": name} for number, name in enumerate(names)], schema.IMAGES
    )


def properties(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("format", "mode", "width", "height", "orientation", "problem"))


def test_valid_files_are_described(rows: Rows) -> None:
    assert [row["image_id"] for row in rows.values()] == [10 * number + 3 for number in range(len(CONTENTS) + 1)]
    assert properties(rows["scene.png"]) == ("PNG", "RGB", 64, 32, 1, None)
    assert properties(rows["rotated.jpg"]) == ("JPEG", "RGB", 64, 32, 6, None)
    assert properties(rows["deep.png"]) == ("PNG", "I;16", 30, 20, 1, None)
    assert properties(rows["cmyk.jpg"]) == ("JPEG", "CMYK", 64, 32, 1, None)
    assert properties(rows["palette.png"]) == ("PNG", "P", 64, 32, 1, None)
    assert properties(rows["pixel.png"]) == ("PNG", "RGB", 1, 1, 1, None)
    assert rows["scene.png"]["sha256"] == hashlib.sha256(CONTENTS["scene.png"]).hexdigest()
    assert rows["scene.png"]["size_bytes"] == len(CONTENTS["scene.png"])


def test_invalid_orientation_counts_as_upright(rows: Rows) -> None:
    assert rows["invalid orientation.jpg"]["orientation"] == 1
    assert rows["orientation as text.jpg"]["orientation"] == 1
    # The pixels are intact, so the image has no problem.
    assert properties(rows["corrupt exif.webp"]) == ("WEBP", "RGB", 64, 32, None, None)


@pytest.mark.parametrize("name", ["scene.png", "rotated.jpg", "cmyk.jpg", "palette.png"])
def test_thumbnails_are_stored_row_by_row_without_rotation(rows: Rows, name: str) -> None:
    thumbnail = np.frombuffer(rows[name]["thumbnail"], np.uint8).reshape(16, 16)
    np.testing.assert_allclose(thumbnail[:8, 8:], 255, atol=2)
    assert abs(thumbnail.sum(dtype=int) - 255 * 64) < 300


def test_thumbnails_are_means_of_all_pixels(rows: Rows) -> None:
    assert set(rows["deep.png"]["thumbnail"]) == {round(40_000 / 257)}
    gray = COLORS @ [0.299, 0.587, 0.114]
    means = gray.reshape(16, 12, 16, 20).mean(axis=(1, 3))
    thumbnail = np.frombuffer(rows["colors.jpg"]["thumbnail"], np.uint8).reshape(16, 16)
    np.testing.assert_allclose(thumbnail, means, atol=2)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.jpg", "the file is empty"),
        ("page.jpg", "the file does not decode (no known image format)."),
        ("header.jpg", "the file does not decode (no known image format)."),
        ("cut.jpg", "the file does not decode (image file is truncated (4 bytes not processed))."),
        (
            "bomb.png",
            "the file does not decode (Image size (900000000 pixels) exceeds limit of 178956970 pixels).",
        ),
        ("deep.pgm", "the file does not decode (pixels of mode I have no range; save it with 8 or 16 bits)."),
        ("float.tif", "the file does not decode (pixels of mode F have no range; save it with 8 or 16 bits)."),
        ("bad header.tif", "the file does not decode (TypeError: 'str' object cannot be interpreted as an integer)."),
    ],
)
def test_undecodable_file_has_a_problem(rows: Rows, name: str, problem: str) -> None:
    row = rows[name]
    assert row["problem"] == problem
    assert row["sha256"] == hashlib.sha256(CONTENTS[name]).hexdigest()
    assert row["thumbnail"] is None


def test_missing_file_has_a_problem(rows: Rows) -> None:
    assert rows["none.jpg"]["problem"] == "not in its archive"
    assert rows["none.jpg"]["sha256"] is None


def test_memory_error_is_not_a_problem_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("pipeline.validation.inspection.to_uint8", exhausted)
    with ThreadPoolExecutor(1) as executor, pytest.raises(MemoryError):
        inspect_images(images_of(tmp_path), ArchiveFolder(tmp_path), executor)


@settings(max_examples=60)
@given(st.data())
def test_any_bytes_give_a_thumbnail_or_a_problem(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    good = [name for name in CONTENTS if len(CONTENTS[name]) > 50]
    contents = {}
    for number in range(4):
        content = bytearray(CONTENTS[data.draw(st.sampled_from(good))])
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=9)
        ):
            content[at] = byte
        contents[f"{number}.jpg"] = bytes(content[: data.draw(st.integers(0, len(content)))])
    folder = tmp_path_factory.mktemp("fuzzed")
    with ThreadPoolExecutor(1) as executor:
        found = inspect_images(images_of(folder, contents), ArchiveFolder(folder), executor).to_pylist()
    assert len(found) == 5
    for row in found:
        assert (row["thumbnail"] is None) == (row["problem"] is not None)
        assert row["orientation"] in {None, *range(1, 9)}


@pytest.mark.slow
def test_threads_and_processes_give_the_same_result(tmp_path: Path) -> None:
    images = images_of(tmp_path)

    def found(executor: Executor) -> pa.Table:
        with executor:
            return inspect_images(images, ArchiveFolder(tmp_path), executor)

    threads = found(ThreadPoolExecutor(2))
    assert found(ProcessPoolExecutor(2, mp_context=get_context("spawn"))).equals(threads)


@pytest.mark.real_data
@pytest.mark.skipif(not BROKEN_IMAGES.is_dir(), reason="no broken images: ../shared/data/broken is not there")
def test_collected_broken_files_have_problems(tmp_path: Path) -> None:
    contents = {path.name: path.read_bytes() for path in sorted(BROKEN_IMAGES.iterdir())}
    with ThreadPoolExecutor(2) as executor:
        table = inspect_images(images_of(tmp_path, contents), ArchiveFolder(tmp_path), executor)
    rows = dict(zip(contents, table.to_pylist(), strict=False))
    assert {name: row["problem"] for name, row in rows.items() if row["problem"]} == {
        "decompression_bomb.png": (
            "the file does not decode (Image size (900000000 pixels) exceeds limit of 178956970 pixels)."
        ),
        "header_only.jpg": "the file does not decode (no known image format).",
        "really_html.jpg": "the file does not decode (no known image format).",
        "truncated.jpg": "the file does not decode (image file is truncated (0 bytes not processed)).",
        "zero_bytes.jpg": "the file is empty",
    }
    assert {name: row["orientation"] for name, row in rows.items() if row["orientation"] not in (None, 1)} == {
        "exif_rotated.jpg": 6
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_one_member_is_a_problem_of_its_image_alone(tmp_path: Path, fault: str) -> None:
    make, problem = FAULTS[fault]
    (tmp_path / "zips").mkdir()
    make(tmp_path / "zips").rename(tmp_path / "zips" / "val2017.zip")
    rows = pa.Table.from_pylist([{**image(3), "member": "bad"}, {**image(7), "member": "good"}], schema.IMAGES)
    with ThreadPoolExecutor(1) as executor:
        bad, good = inspect_images(rows, ArchiveFolder(tmp_path), executor).to_pylist()
    path = tmp_path / "zips" / "val2017.zip"
    assert (bad["sha256"], bad["problem"]) == (
        None,
        f"{path}: member bad {problem}. Get the archive from its publisher.",
    )
    assert good["sha256"] == hashlib.sha256(b"good").hexdigest()
