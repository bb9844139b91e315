"""Archives are read in place. A malformed or malicious member is refused when it is read, and the others are read."""

import errno
import io
import pickle
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import CHUNK_BYTES, MAX_IMAGE_BYTES, Archive, write_archive
from pipeline.core.errors import BoxlineError


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
    assert archive.get("folder/a.txt") is not None
    assert archive.get("folder/c.txt") is None
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


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1])
def test_pieces_of_a_member_are_its_content(tmp_path: Path, method: int, size_bytes: int) -> None:
    content = Random(7).randbytes(size_bytes)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("a.bin", content)
    member = Archive(tmp_path / "a.zip")["a.bin"]
    pieces = list(member.read_chunks())
    assert b"".join(pieces) == member.read() == content
    assert max(map(len, pieces), default=0) < max(2 * CHUNK_BYTES, 1000)
    assert [member.read_head(num_bytes) for num_bytes in (0, 9)] == [b"", content[:9]]


def test_corrupt_member_shows_after_its_last_piece(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"second", b"sEcond"))
    pieces = Archive(path)["folder/b.txt"].read_chunks()
    assert next(pieces) == b"sEcond"
    with pytest.raises(BoxlineError) as raised:
        next(pieces)
    assert str(raised.value) == read_failure(path, "folder/b.txt")


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


def test_well_compressed_member_is_read(tmp_path: Path) -> None:
    """A plain image compresses 500 to 1 and more; only its decoded size is limited."""
    path = tmp_path / "plain.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("black.bmp", bytes(3 << 20))
        assert archive.getinfo("black.bmp").compress_size < 3100
    assert Archive(path)["black.bmp"].read() == bytes(3 << 20)


def test_zip_bomb_is_refused_by_declared_size_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("zeros.jpg", bytes(MAX_IMAGE_BYTES + 1))
        bomb.writestr("good.jpg", b"good")
    assert read_failure(path, "zeros.jpg", max_bytes=MAX_IMAGE_BYTES) == (
        f"{path}: member zeros.jpg declares 67108865 bytes, more than 67108864 allowed."
    )
    assert Archive(path)["good.jpg"].read() == b"good"


def test_bomb_inside_a_bomb_is_not_opened(tmp_path: Path) -> None:
    """A member that is an archive is bytes as any other."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    write_archive(tmp_path / "outer.zip", [("inner.zip", inner.getvalue())])
    outer = Archive(tmp_path / "outer.zip")
    assert outer.names() == ["inner.zip"]
    assert outer["inner.zip"].read() == inner.getvalue()


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
    "name", ["../evil.jpg", "a/../../evil.jpg", "/tmp/evil.jpg", "..\\evil.jpg", "C:/evil.jpg", "./evil.jpg"]
)
def test_names_that_lead_out_of_the_archive_are_names_only(tmp_path: Path, name: str) -> None:
    """No name is a path on this machine, so these are harmless."""
    (tmp_path / "evil.jpg").write_bytes(b"not this one")
    write_archive(tmp_path / "zips" / "odd.zip", [("good.jpg", b"good"), (name, b"odd"), ("../../evil/", b"")])
    archive = Archive(tmp_path / "zips" / "odd.zip")
    assert archive.names() == ["good.jpg", name]
    assert archive[name].read() == b"odd"
    assert archive["good.jpg"].read() == b"good"


def test_folders_with_backslashes_are_no_members(tmp_path: Path) -> None:
    """PowerShell 5 writes such archives."""
    write_archive(tmp_path / "windows.zip", [("val2017\\", b""), ("val2017\\a.jpg", b"a"), ("val2017\\b.jpg", b"b")])
    archive = Archive(tmp_path / "windows.zip")
    assert archive.names() == ["val2017\\a.jpg", "val2017\\b.jpg"]
    assert archive["val2017/b.jpg"].read() == b"b"
    assert archive.find("B.JPG", "val2017/").read() == b"b"


def test_missing_member_names_the_nearest_one(path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        Archive(path)["folder/aa.txt"]
    assert str(raised.value) == f"{path}: member folder/aa.txt not found; the nearest name is 'folder/a.txt'."


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("Köln.jpg".encode(), "Köln.jpg"),
        ("画像.jpg".encode("cp932"), "画像.jpg"),
        ("画像.jpg".encode("euc_jp"), "画像.jpg"),
        ("图片.jpg".encode("gbk"), "图片.jpg"),  # valid UTF-8 as well
        ("Köln.jpg".encode("cp437"), "Köln.jpg"),
        ("Kø.jpg".encode("cp850"), "Kø.jpg"),
        ("Łódź.jpg".encode("cp852"), "Łódź.jpg"),
    ],
)
def test_names_without_flag_for_utf8_are_found(tmp_path: Path, content: bytes, name: str) -> None:
    placeholder = b"x" * len(content)
    write_archive(tmp_path / "old.zip", [("good.jpg", b"good"), (placeholder.decode(), b"old")])
    path = tmp_path / "old.zip"
    path.write_bytes(path.read_bytes().replace(placeholder, content))
    archive = Archive(path)
    assert archive[name].read() == b"old"
    assert archive[unicodedata.normalize("NFD", name)].read() == b"old"
    assert archive["good.jpg"].read() == b"good"


@pytest.mark.parametrize(("crc_of", "name"), [("画像.jpg", "picture.jpg"), ("another", "画像.jpg")])
def test_name_in_an_extra_field_is_used_if_it_belongs_to_the_entry(tmp_path: Path, crc_of: str, name: str) -> None:
    content = "画像.jpg".encode("cp932")
    extra_name = struct.pack("<BI", 1, zlib.crc32(crc_of.encode("cp932"))) + b"picture.jpg"
    entry = zipfile.ZipInfo("x" * len(content))
    entry.extra = struct.pack("<HHH", 0x9999, 2, 7) + struct.pack("<HH", 0x7075, len(extra_name)) + extra_name
    path = tmp_path / "winrar.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, b"picture")
    path.write_bytes(path.read_bytes().replace(b"x" * len(content), content))
    assert Archive(path)[name].read() == b"picture"


def test_name_marked_as_utf8_that_is_none_leaves_the_others(tmp_path: Path) -> None:
    write_archive(tmp_path / "some.zip", [("good.jpg", b"good"), ("K\xf6ln.jpg", b"other")])
    path = tmp_path / "some.zip"
    path.write_bytes(path.read_bytes().replace("K\xf6ln".encode(), b"K\xf6\xf6ln"))
    archive = Archive(path)
    assert archive["good.jpg"].read() == b"good"
    assert archive["K\xf6\xf6ln.jpg"].read() == b"other"  # as cp1252


def as_link(folder: Path) -> Path:
    path = folder / "link.zip"
    link = zipfile.ZipInfo("bad")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good", b"good")
    return path


def as_lzma(folder: Path) -> Path:
    path = folder / "lzma.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bad", b"text", zipfile.ZIP_LZMA)
        archive.writestr("good", b"good")
    return path


def with_members(folder: Path, *members: tuple[str, bytes], **entry: int) -> Path:
    write_archive(folder / "some.zip", members)
    return _with_entry(folder / "some.zip", **entry) if entry else folder / "some.zip"


BAD, GOOD = ("bad", b"bad" * 100), ("good", b"good")
FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "link": (as_link, "is a link"),
    "method": (as_lzma, "has compression method 14, expected 0 (stored) or 8 (deflated)"),
    "encrypted": (lambda folder: with_members(folder, BAD, GOOD, flags=1), "is encrypted"),
    "two sizes": (
        lambda folder: with_members(folder, BAD, GOOD, size_bytes=301),
        "is stored in 300 bytes but declares 301",
    ),
    "duplicate": (lambda folder: with_members(folder, BAD, GOOD, ("bad", b"")), "has the name of another member"),
    "version": (lambda folder: with_members(folder, BAD, GOOD, version=99, flags=1), "is encrypted"),
    "overlap": (
        lambda folder: with_members(folder, BAD, GOOD, stored_bytes=400, size_bytes=400),
        "overlaps another one",
    ),
    "claims everything": (
        lambda folder: with_members(folder, BAD, GOOD, stored_bytes=1 << 31, size_bytes=1 << 31),
        "overlaps another one",
    ),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_one_member_leaves_the_others(tmp_path: Path, fault: str) -> None:
    make, problem = FAULTS[fault]
    path = make(tmp_path)
    assert read_failure(path, "bad") == f"{path}: member bad {problem}. Get the archive from its publisher."
    assert Archive(path)["good"].read() == b"good"
    assert Archive(path).names() == ["bad", "good"]


def test_member_without_name_leaves_the_others(path: Path) -> None:
    content = path.read_bytes().replace(b"folder/b.txt", b"\0older/b.txt")  # zipfile cuts names at a null byte
    path.write_bytes(content)
    assert Archive(path)["folder/a.txt"].read() == b"first " * 100


def test_entries_that_share_their_bytes_cost_what_one_costs(tmp_path: Path) -> None:
    """A small archive can declare petabytes if many entries point at the same bytes."""
    write_archive(tmp_path / "some.zip", [(f"{number}", b"same" * 50) for number in range(5)])
    path = tmp_path / "some.zip"
    for number in range(1, 5):
        path = _with_entry(path, number=number, offset=0)
    archive = Archive(path)
    assert sum(archive[name].problem is None for name in archive.names()) == 1


def _with_entry(
    path: Path,
    *,
    number: int = 0,
    version: int | None = None,
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
        (6, "<H", version),
        (8, "<H", flags),
        (20, "<I", stored_bytes),
        (24, "<I", size_bytes),
        (42, "<I", offset),
    ):
        if value is not None:
            struct.pack_into(kind, content, start + position, value)
    changed = path.with_name(f"changed {path.name}")
    changed.write_bytes(content)
    return changed


def test_many_members_are_read_as_one_by_one(tmp_path: Path) -> None:
    """Stored, compressed, with a long extra field, empty, corrupt, repeated and too large members alike."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("plain", b"plain content")
        file.writestr("empty", b"")
        file.writestr("compressed", b"z" * 1000, zipfile.ZIP_DEFLATED)
        entry = zipfile.ZipInfo("long extra")
        entry.extra = b"\x99\x99\xe8\x03" + bytes(1000)
        file.writestr(entry, b"behind a long extra field")
        file.writestr("corrupt", b"corrupt content")
        file.writestr("large", b"l" * 2000)
        file.writestr("last", b"last content")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("plain", b"second content")
    path.write_bytes(path.read_bytes().replace(b"corrupt content", b"Corrupt content"))
    archive = Archive(path)

    def outcome(act: Callable[[], bytes]) -> str | bytes:
        try:
            return act()
        except BoxlineError as error:
            return str(error)

    names = [*archive.names(), "plain"]
    read = [one if isinstance(one, bytes) else str(one) for one in archive.read_many(names, 1500)]
    assert read == [outcome(lambda name=name: archive[name].read(1500)) for name in names]
    assert sum(isinstance(one, bytes) for one in read) == 4
    heads = [one if isinstance(one, bytes) else str(one) for one in archive.read_heads(names, 5)]
    assert heads == [outcome(lambda name=name: archive[name].read_head(5)) for name in names]
