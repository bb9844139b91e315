"""Archives are read in place, and what no honest archive holds is refused by name."""

import errno
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from pipeline.archives.zip_archive import Archive, ArchiveFolder, write_archive
from pipeline.core.errors import BoxlineError

BLAME = "Get the archive from its publisher."


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
    assert [found.name for found in path.parent.iterdir()] == ["some.zip"]


def test_a_member_is_read_without_its_archive(path: Path) -> None:
    """Another process gets 100 bytes of where, and no open file."""
    member = pickle.loads(pickle.dumps(Archive(path)["folder/a.txt"]))
    assert (member.offset, member.stored_bytes, member.size_bytes) == (0, 600, 600)
    assert member.read() == b"first " * 100


def test_deflated_members_with_extra_fields_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        archive.writestr("folder/crêpe.txt", b"left right " * 5000)
        with archive.open("big.txt", "w", force_zip64=True) as file:  # its local header is longer than the others'
            file.write(b"zip64")
    archive_read = Archive(path)
    assert archive_read.names() == ["folder/crêpe.txt", "big.txt"]
    assert archive_read["folder/crêpe.txt"].read() == b"left right " * 5000
    assert archive_read["big.txt"].read() == b"zip64"


def test_the_same_members_make_the_same_file(path: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.zip", [("folder/a.txt", b"first " * 100), ("folder/b.txt", b"second")])
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_a_missing_archive(tmp_path: Path) -> None:
    assert failure(tmp_path / "none.zip") == f"{tmp_path}/none.zip not found. `dvc repro` downloads it."


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "web.zip"
    path.write_bytes(content)
    assert failure(path) == (
        f"{path} is not a readable zip archive (File is not a zip file). Delete it and download it again."
    )


def test_a_truncated_archive(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])
    assert "is not a readable zip archive" in failure(path)


def test_a_missing_member(path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        Archive(path)["../../etc/passwd"]
    assert str(raised.value) == f"{path}: member ../../etc/passwd not found."


def test_an_archive_that_went_away(path: Path) -> None:
    member = Archive(path)["folder/a.txt"]
    path.unlink()
    with pytest.raises(BoxlineError) as raised:
        member.read()
    assert str(raised.value) == f"{path} not found. `dvc repro` downloads it."


def test_a_damaged_member_fails_its_crc(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"second", b"sEcond"))
    assert read_failure(path, "folder/b.txt") == (
        f"{path}: member folder/b.txt is damaged (its CRC is 77de3e6d, expected b61f1169). Download the archive again."
    )


def test_a_local_header_that_is_not_there(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:4] = b"none"
    path.write_bytes(content)
    assert read_failure(path, "folder/a.txt") == (
        f"{path}: member folder/a.txt is damaged (there is no member where the table of contents says). "
        "Download the archive again."
    )


def test_a_deflated_member_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    content = bytes(range(256)) * 40
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", content)
    changed = _with_entry(path, stored_bytes=100)
    assert read_failure(changed, "a.bin") == (
        f"{changed}: member a.bin is damaged (it is cut off). Download the archive again."
    )


def test_a_member_larger_than_allowed(path: Path) -> None:
    assert read_failure(path, "folder/a.txt", max_bytes=599) == (
        f"{path}: member folder/a.txt claims 600 bytes, more than 599 allowed."
    )


def test_a_bomb_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros.jpg", bytes(3 << 20))
        stored = bomb.getinfo("zeros.jpg").compress_size
    assert failure(path) == (
        f"{path}: member 'zeros.jpg' claims 3145728 bytes in {stored}, as only a zip bomb does. {BLAME}"
    )


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros.jpg", bytes(64 << 20))
    liar = _with_entry(path, size_bytes=1000)
    assert read_failure(liar, "zeros.jpg") == (
        f"{liar}: member zeros.jpg is damaged (it has 1001 bytes, expected 1000). Download the archive again."
    )


def test_a_time_of_day_in_a_name(tmp_path: Path) -> None:
    write_archive(tmp_path / "good.zip", [("12:30:00.jpg", b"noon"), ("./", b"")])
    assert Archive(tmp_path / "good.zip")["12:30:00.jpg"].read() == b"noon"


def test_a_fault_of_the_disk_is_no_fault_of_the_member(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    member = Archive(path)["folder/a.txt"]
    monkeypatch.setattr(Path, "open", too_many)
    with pytest.raises(OSError, match="Too many open files"):
        member.read()


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:/evil.jpg", "../../evil/"]
)
def test_names_that_lead_out_of_the_archive(tmp_path: Path, name: str) -> None:
    write_archive(tmp_path / "evil.zip", [("good.jpg", b"good"), (name, b"evil")])
    assert failure(tmp_path / "evil.zip") == (
        f"{tmp_path}/evil.zip: member {name!r} has a name that leads out of the archive. {BLAME}"
    )


def test_a_member_without_a_name(path: Path) -> None:
    content = path.read_bytes().replace(b"folder/b.txt", b"\0older/b.txt")  # zipfile ends names at the first zero
    path.write_bytes(content)
    assert failure(path) == f"{path}: member '' has no name. {BLAME}"


def test_a_link(tmp_path: Path) -> None:
    path = tmp_path / "link.zip"
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert failure(path) == f"{path}: member 'link.jpg' is a link. {BLAME}"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path: Path) -> None:
    write_archive(tmp_path / "twice.zip", [("a.jpg", b"one"), ("b.jpg", b"two"), ("a.jpg", b"three")])
    assert failure(tmp_path / "twice.zip") == f"{tmp_path}/twice.zip: member 'a.jpg' is there twice. {BLAME}"


def test_members_that_share_their_bytes(path: Path) -> None:
    """How a small archive claims petabytes: many entries point at one place."""
    changed = _with_entry(path, number=1, offset=0)
    message = failure(changed)
    # Later versions of Python find it themselves.
    assert message == f"{changed}: member 'folder/b.txt' overlaps another one. {BLAME}" or "verlap" in message


def test_an_encrypted_member(path: Path) -> None:
    changed = _with_entry(path, flags=1)
    assert failure(changed) == f"{changed}: member 'folder/a.txt' is encrypted. {BLAME}"


def test_another_compression(tmp_path: Path) -> None:
    path = tmp_path / "lzma.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.txt", b"text")
    assert failure(path) == (
        f"{path}: member 'a.txt' is compressed by method 14, expected 0 (stored) or 8 (deflated). {BLAME}"
    )


def test_a_stored_member_of_two_sizes(path: Path) -> None:
    changed = _with_entry(path, size_bytes=601)
    assert failure(changed) == f"{changed}: member 'folder/a.txt' is stored in 600 bytes and claims 601. {BLAME}"


def _with_entry(
    path: Path,
    *,
    number: int = 0,
    flags: int | None = None,
    stored_bytes: int | None = None,
    size_bytes: int | None = None,
    offset: int | None = None,
) -> Path:
    """A copy whose table of contents says something else of one member."""
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
