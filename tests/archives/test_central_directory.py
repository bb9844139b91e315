"""The central directory against zipfile as reference, and damaged ones."""

import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives import central_directory
from pipeline.archives.central_directory import END, read_central_directory
from pipeline.archives.zip_archive import Archive
from pipeline.core.errors import BoxlineError

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


def packed(members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@given(
    members=st.dictionaries(names, st.binary(max_size=50), max_size=6),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    comment=st.binary(max_size=40).filter(lambda comment: b"PK" not in comment),
    program=st.binary(max_size=40),
)
def test_entries_are_those_that_zipfile_reads(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes], method: int, comment: bytes, program: bytes
) -> None:
    """Also with a program in front of the archive."""
    path = tmp_path_factory.mktemp("archive") / "some.zip"
    path.write_bytes(program + packed(members, method=method, comment=comment))
    directory = read_central_directory(path)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    assert directory.comment == comment
    assert directory.names == [entry.filename for entry in entries] == list(members)
    assert directory.names_without_encoding == {}
    assert directory.offsets.tolist() == [entry.header_offset for entry in entries]
    assert directory.stored_bytes.tolist() == [entry.compress_size for entry in entries]
    assert directory.size_bytes.tolist() == [entry.file_size for entry in entries]
    assert directory.crc32.tolist() == [entry.CRC for entry in entries]
    assert directory.methods.tolist() == [entry.compress_type for entry in entries]
    assert directory.external_attributes.tolist() == [entry.external_attr for entry in entries]


def test_large_archives_have_their_numbers_in_extra_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zipfile writes the records for large archives here, as if an archive were large above 10 bytes or 2 entries."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    members = {"a.jpg": b"a" * 30, "b.jpg": b"b", "c.jpg": b"c" * 40}
    (tmp_path / "large.zip").write_bytes(b"program" + packed(members))
    archive = Archive(tmp_path / "large.zip")
    assert {name: archive[name].read() for name in archive.names()} == members


def test_number_missing_in_its_extra_field_concerns_one_member(tmp_path: Path) -> None:
    content = bytearray(packed({"bad.jpg": b"bad", "good.jpg": b"good"}))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 42, 0xFFFFFFFF)
    (tmp_path / "some.zip").write_bytes(content)
    archive = Archive(tmp_path / "some.zip")
    assert archive["good.jpg"].read() == b"good"
    with pytest.raises(BoxlineError, match="is corrupt"):
        archive["bad.jpg"].read()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_bytes": 10_000}, "Bad offset for central directory"),
        ({"offset": 10_000}, "Bad offset for central directory"),
        ({"num_bytes": 60}, "Bad magic number for central directory"),
        ({"num_bytes": 3}, "Truncated central directory"),
    ],
)
def test_wrong_place_of_the_directory_is_an_error(tmp_path: Path, changed: dict[str, int], message: str) -> None:
    content = bytearray(packed({"a.jpg": b"a", "b.jpg": b"b"}))
    values = list(END.unpack_from(content, len(content) - END.size))
    values[5], values[6] = changed.get("num_bytes", values[5]), changed.get("offset", values[6])
    END.pack_into(content, len(content) - END.size, *values)
    path = tmp_path / "some.zip"
    path.write_bytes(content)
    with pytest.raises(BoxlineError) as raised:
        Archive(path)
    assert str(raised.value) == (f"{path} is not a readable zip archive ({message}). Delete it and download it again.")


def test_huge_directory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(central_directory, "MAX_DIRECTORY_BYTES", 50)
    (tmp_path / "some.zip").write_bytes(packed({"a.jpg": b"a"}))
    with pytest.raises(BoxlineError, match=r"its central directory has 51 bytes, more than 50 allowed"):
        Archive(tmp_path / "some.zip")


@given(st.data())
def test_damaged_archive_is_an_error_or_has_readable_and_unreadable_members(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Never another exception, whatever bytes change or are missing."""
    content = bytearray(packed({"a.jpg": b"first", "ü.jpg": b"second" * 9}, method=zipfile.ZIP_DEFLATED, comment=b"c"))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("archive") / "some.zip"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        archive = Archive(path)
    except BoxlineError:
        return
    for name in archive.names():
        try:
            assert archive.member(name).read() in (b"first", b"second" * 9, b"")
        except BoxlineError:
            continue
