"""Tests sizes of images from the start of their files."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pipeline.archives.file_tree import FileTree
from pipeline.archives.image_decoding import MAX_IMAGE_PIXELS
from pipeline.archives.image_sizes import HEAD_BYTES, image_size, size_in_head

FORMATS = {"BMP": {}, "GIF": {}, "JPEG": {}, "PNG": {}, "PPM": {}, "TIFF": {}, "WEBP": {"lossless": True}}


class CountedFile:
    """A file in memory that records which reads it served."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.num_whole_reads = 0

    def read(self, max_bytes: int) -> bytes:
        assert len(self._content) <= max_bytes
        self.num_whole_reads += 1
        return self._content

    def read_head(self, num_bytes: int) -> bytes:
        return self._content[:num_bytes]


def encoded(image_format: str, width: int, height: int, *, noisy: bool = False) -> bytes:
    image = Image.effect_noise((width, height), 100) if noisy else Image.new("L", (width, height))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, image_format, **FORMATS[image_format])
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", FORMATS)
def test_size_of_a_large_file_of_every_format(image_format: str) -> None:
    file = CountedFile(encoded(image_format, 800, 601, noisy=True))
    assert image_size(file) == (800, 601)
    assert file.num_whole_reads == (image_format == "WEBP")  # which Pillow decodes as a whole


@given(st.sampled_from(sorted(FORMATS)), st.integers(1, 300), st.integers(1, 300), st.data())
def test_size_is_the_one_in_the_whole_file_whatever_the_head_holds(
    image_format: str, width: int, height: int, data: st.DataObject
) -> None:
    content = encoded(image_format, width, height, noisy=True)
    if image_format == "JPEG":  # metadata of any length in front of the size
        for length in data.draw(st.lists(st.integers(0, 60_000), max_size=4)):
            content = content[:2] + b"\xff\xed" + (length + 2).to_bytes(2, "big") + bytes(length) + content[2:]
    assert image_size(CountedFile(content)) == (width, height)


def test_missing_and_damaged_files_have_the_size_zero() -> None:
    assert image_size(None) == (0, 0)
    assert image_size(CountedFile(b"")) == (0, 0)
    assert image_size(CountedFile(b"<html>")) == (0, 0)
    file = CountedFile(bytes(HEAD_BYTES + 1))
    assert (image_size(file), file.num_whole_reads) == ((0, 0), 1)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_of_members_and_loose_files_are_read_from_their_start(tmp_path: Path, method: int) -> None:
    content = encoded("JPEG", 640, 480, noisy=True)
    assert len(content) > 2 * HEAD_BYTES
    (tmp_path / "loose.jpg").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", method) as archive:
        archive.writestr("member.jpg", content)
    tree = FileTree(tmp_path)
    # The second half is destroyed, and no one notices.
    for name in ("loose.jpg", "images.zip"):
        file_content = (tmp_path / name).read_bytes()
        half = bytes(len(content) // 2)
        start = file_content.index(file_content[len(content) // 2 :][:16])
        (tmp_path / name).write_bytes(file_content[:start] + half + file_content[start + len(half) :])
    assert tree.image_size("loose.jpg") == tree.image_size("member.jpg") == (640, 480)
    assert tree.image_size("none.jpg") == (0, 0)


@given(
    st.integers(1, 300), st.integers(1, 300), st.sampled_from(["JPEG", "PNG"]), st.booleans(), st.integers(0, 70_000)
)
@example(1, 256, "PNG", False, 23)
def test_size_in_the_head_is_that_of_pillow(width: int, height: int, kind: str, progressive: bool, more: int) -> None:
    options = {"progressive": progressive, "comment": b"x" * min(more, 65_000)} if kind == "JPEG" else {}
    content = io.BytesIO()
    Image.new("RGB", (width, height)).save(content, kind, **options)
    assert size_in_head(content.getvalue()) == (width, height)
    assert size_in_head(content.getvalue()[: more % 30]) in (None, (width, height))


@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"]), st.binary(max_size=40))
def test_size_in_any_bytes_is_plausible_or_unknown(start: bytes, rest: bytes) -> None:
    size = size_in_head(start + rest)
    assert size is None or 0 < size[0] * size[1] <= MAX_IMAGE_PIXELS
