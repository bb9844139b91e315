"""Archives are read in place, and malformed or malicious members are rejected by name."""

import errno
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.zip_archive import Archive, ArchiveFolder, write_archive
from pipeline.core.errors import BoxlineError

ADVICE = "Get the archive from its publisher."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "zips" / "some.zip"
    write_archive(path, [("folder/a.txt", b"first " * 100), ("folder/b.txt", b"second")])
    return path


def failure(path: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        Archive(path)
    return str(raised.value)


def read_failure(path: Path, name: str, **limits: int) -> str:
    member = Archive(path)[name]
    with pytest.raises(BoxlineError) as raised:
        member.read(**limits)
    return str(raised.value)


def test_members_are_read_in_place(path: Path) -> None:
    archive = ArchiveFolder(path.parents[1])["zips/some.zip"]
    assert archive.names() == ["folder/a.txt", "folder/b.txt"]
    assert archive["folder/b.txt"].read() == b"second"
    assert "folder/a.txt" in archive
    assert "folder/c.txt" not in archive
    assert [file.name for file in path.parent.iterdir()] == ["some.zip"]


def test_pickled_member_is_readable_without_archive_object(path: Path) -> None:
    """Another process receives 100 bytes with the location, and no open file."""
    member = pickle.loads(pickle.dumps(Archive(path)["folder/a.txt"]))
    assert (member.offset, member.stored_bytes, member.size_bytes) == (0, 600, 600)
    assert member.read() == b"first " * 100


def test_deflated_members_extra_fields_and_folders_are_read(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        archive.writestr("folder/crêpe.txt", b"left right " * 5000)
        with archive.open("big.txt", "w", force_zip64=True) as file:  # makes its local header longer
            file.write(b"zip64")
    archive_read = Archive(path)
    assert archive_read.names() == ["folder/crêpe.txt", "big.txt"]
    assert archive_read["folder/crêpe.txt"].read() == b"left right " * 5000
    assert archive_read["big.txt"].read() == b"zip64"


def test_equal_members_make_equal_archives(path: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.zip", [("folder/a.txt", b"first " * 100), ("folder/b.txt", b"second")])
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_missing_archive_is_an_error(tmp_path: Path) -> None:
    assert failure(tmp_path / "none.zip") == f"{tmp_path}/none.zip not found. `dvc repro` downloads it."


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_file_that_is_no_archive_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "web.zip"
    path.write_bytes(content)
    assert failure(path) == (
        f"{path} is not a readable zip archive (File is not a zip file). Delete it and download it again."
    )


def test_truncated_archive_is_an_error(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])
    assert "is not a readable zip archive" in failure(path)


def test_missing_member_is_an_error(path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        Archive(path)["../../etc/passwd"]
    assert str(raised.value) == f"{path}: member ../../etc/passwd not found."


def test_archive_deleted_after_opening_is_an_error(path: Path) -> None:
    member = Archive(path)["folder/a.txt"]
    path.unlink()
    with pytest.raises(BoxlineError) as raised:
        member.read()
    assert str(raised.value) == f"{path} not found. `dvc repro` downloads it."


def test_corrupt_member_fails_its_crc(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"second", b"sEcond"))
    assert read_failure(path, "folder/b.txt") == (
        f"{path}: member folder/b.txt is corrupt (its CRC is 77de3e6d, expected b61f1169). Download the archive again."
    )


def test_missing_local_header_is_an_error(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:4] = b"none"
    path.write_bytes(content)
    assert read_failure(path, "folder/a.txt") == (
        f"{path}: member folder/a.txt is corrupt (there is no local header at the offset in the central directory). "
        "Download the archive again."
    )


def test_truncated_deflated_member_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    content = bytes(range(256)) * 40
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", content)
    changed = _with_entry(path, stored_bytes=100)
    assert read_failure(changed, "a.bin") == (
        f"{changed}: member a.bin is corrupt (it is truncated). Download the archive again."
    )


def test_member_larger_than_allowed_is_an_error(path: Path) -> None:
    assert read_failure(path, "folder/a.txt", max_bytes=599) == (
        f"{path}: member folder/a.txt declares 600 bytes, more than 599 allowed."
    )


def test_zip_bomb_is_rejected_by_declared_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros.jpg", bytes(3 << 20))
        stored = bomb.getinfo("zeros.jpg").compress_size
    assert failure(path) == (
        f"{path}: member 'zeros.jpg' declares 3145728 bytes in {stored}, as only a zip bomb does. {ADVICE}"
    )


def test_zip_bomb_with_false_size_is_not_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros.jpg", bytes(64 << 20))
    changed = _with_entry(path, size_bytes=1000)
    assert read_failure(changed, "zeros.jpg") == (
        f"{changed}: member zeros.jpg is corrupt (it has 1001 bytes, expected 1000). Download the archive again."
    )


def test_colons_in_names_are_allowed(tmp_path: Path) -> None:
    write_archive(tmp_path / "good.zip", [("12:30:00.jpg", b"noon"), ("./", b"")])
    assert Archive(tmp_path / "good.zip")["12:30:00.jpg"].read() == b"noon"


def test_disk_error_stays_an_os_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    member = Archive(path)["folder/a.txt"]
    monkeypatch.setattr(Path, "open", too_many)
    with pytest.raises(OSError, match="Too many open files"):
        member.read()


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:/evil.jpg", "../../evil/"]
)
def test_names_that_lead_out_of_the_archive_are_rejected(tmp_path: Path, name: str) -> None:
    write_archive(tmp_path / "evil.zip", [("good.jpg", b"good"), (name, b"evil")])
    assert failure(tmp_path / "evil.zip") == (
        f"{tmp_path}/evil.zip: member {name!r} has a name that leads out of the archive. {ADVICE}"
    )


def test_member_without_name_is_rejected(path: Path) -> None:
    content = path.read_bytes().replace(b"folder/b.txt", b"\0older/b.txt")  # zipfile cuts names at a null byte
    path.write_bytes(content)
    assert failure(path) == f"{path}: member '' has no name. {ADVICE}"


def test_link_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "link.zip"
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert failure(path) == f"{path}: member 'link.jpg' is a link. {ADVICE}"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_name_is_rejected(tmp_path: Path) -> None:
    write_archive(tmp_path / "twice.zip", [("a.jpg", b"one"), ("b.jpg", b"two"), ("a.jpg", b"three")])
    assert (
        failure(tmp_path / "twice.zip")
        == f"{tmp_path}/twice.zip: member 'a.jpg' has the name of another member. {ADVICE}"
    )


def test_overlapping_members_are_rejected(path: Path) -> None:
    """A small archive can declare petabytes if many entries point at the same bytes."""
    changed = _with_entry(path, number=1, offset=0)
    message = failure(changed)
    # Later versions of Python detect the overlap themselves.
    assert message == f"{changed}: member 'folder/b.txt' overlaps another one. {ADVICE}" or "verlap" in message


def test_encrypted_member_is_rejected(path: Path) -> None:
    changed = _with_entry(path, flags=1)
    assert failure(changed) == f"{changed}: member 'folder/a.txt' is encrypted. {ADVICE}"


def test_unsupported_compression_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "lzma.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", b"text")
    assert failure(path) == (
        f"{path}: member 'a.txt' has compression method 14, expected 0 (stored) or 8 (deflated). {ADVICE}"
    )


def test_stored_member_with_two_sizes_is_rejected(path: Path) -> None:
    changed = _with_entry(path, size_bytes=601)
    assert failure(changed) == f"{changed}: member 'folder/a.txt' is stored in 600 bytes but declares 601. {ADVICE}"


def _with_entry(
    path: Path,
    *,
    number: int = 0,
    flags: int | None = None,
    stored_bytes: int | None = None,
    size_bytes: int | None = None,
    offset: int | None = None,
) -> Path:
    """Copy the archive and change fields of one entry of its central directory."""
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(number + 1):
        start = content.index(b"PK\x01\x02", start + 1)
    for position, kind, value in (
        (8, "<H", flags),
        (20, "<I", stored_bytes),
        (24, "<I", size_bytes),
        (42, "<I", offset),
    ):
        if value is not None:
            struct.pack_into(kind, content, start + position, value)
    changed = path.with_name("changed.zip")
    changed.write_bytes(content)
    return changed
