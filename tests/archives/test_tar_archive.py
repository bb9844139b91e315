"""Tar archives of the usual kinds, and of malicious authors."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives import tar_archive
from pipeline.archives.tar_archive import ADVICE, read_tar
from pipeline.core.errors import BoxlineError

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}
FILES = {"a/1.jpg": b"first" * 3000, "a/2.jpg": b"", "labels.csv": b"labels"}


def packed(files: dict[str, bytes], *others: tarfile.TarInfo, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for other in others:
            archive.addfile(other, io.BytesIO(bytes(other.size)))
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def contents(path: Path) -> dict[str, bytes]:
    return dict(read_tar(path, lambda _: None))


def failure(path: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        contents(path)
    return str(raised.value).removeprefix(f"{path} ")


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_read_in_the_order_of_the_archive(tmp_path: Path, suffix: str, tar_format: int) -> None:
    """Whatever its suffix is; with several compressed streams and padding too."""
    path = tmp_path / "some.tar"
    content = packed({**FILES, f"{'long' * 40}/ü.jpg": b"long"} if tar_format else FILES, tar_format=tar_format)
    compress = COMPRESSIONS[suffix]
    path.write_bytes(compress(content[:7000]) + compress(content[7000:]) + (b"" if suffix == ".tar.bz2" else bytes(8)))
    positions: list[int] = []
    names = [name for name, _ in read_tar(path, positions.append)]
    assert names[:3] == list(FILES)
    assert {name: contents(path)[name] for name in FILES} == FILES
    assert positions == sorted(positions)
    assert positions[-1] <= path.stat().st_size


def test_folders_and_hidden_files_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(
        packed({"./a.jpg": b"a", "._a.jpg": b"", "__MACOSX/b.jpg": b""}, member("folder", tarfile.DIRTYPE))
    )
    assert contents(path) == {"a.jpg": b"a"}
    assert caplog.messages == []


def test_links_devices_traversal_and_repeated_names_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "some.tar"
    links = [
        member("link.jpg", tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard.jpg", tarfile.LNKTYPE, link="../../etc/passwd"),
        member("device", tarfile.CHRTYPE),
        member("/tmp/evil.jpg"),
        member("a/../../evil.jpg"),
        member("..\\evil.jpg"),
        member("good.jpg"),
        member("./good.jpg"),
    ]
    path.write_bytes(packed({"K\udcf6ln.jpg": b""}, *links, tar_format=tarfile.GNU_FORMAT))
    assert contents(path) == {"good.jpg": b""}
    assert caplog.messages == [
        f"{path}: member 'link.jpg' is a link or a device. It is left out.",
        f"{path}: member 'hard.jpg' is a link or a device. It is left out.",
        f"{path}: member 'device' is a link or a device. It is left out.",
        f"{path}: member '/tmp/evil.jpg' has a name that leads out of the archive. It is left out.",
        f"{path}: member 'a/../../evil.jpg' has a name that leads out of the archive. It is left out.",
        rf"{path}: member '..\\evil.jpg' has a name that leads out of the archive. It is left out.",
        f"{path}: member './good.jpg' has the name of another member. It is left out.",
        rf"{path}: member 'K\udcf6ln.jpg' has a name that is not UTF-8. It is left out.",
    ]


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@given(data=st.data())
def test_truncated_archive_is_an_error_at_every_byte(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    """Also between two members, where tarfile takes the rest for the end."""
    whole = COMPRESSIONS[suffix](packed(FILES))
    # The two blocks of zeros at the end, and the padding behind them, are not needed twice.
    end = 512 * (1 + 1 + 30 + 1 + 1 + 1) - 1 if suffix == ".tar" else len(whole) - 1
    path = tmp_path_factory.mktemp("tar") / "some.tar"
    path.write_bytes(whole[: data.draw(st.integers(0, end))])
    assert failure(path).endswith(ADVICE)


@given(st.data())
def test_damaged_archive_is_an_error_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(sorted(COMPRESSIONS)))
    content = bytearray(COMPRESSIONS[suffix](packed(FILES, member("other", size=9))))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("tar") / "some.tar"
    path.write_bytes(content)
    try:
        contents(path)
    except BoxlineError as error:
        assert str(error).endswith(ADVICE)  # noqa: PT017  # either outcome is right


def test_damaged_header_does_not_end_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(packed(FILES).replace(b"a/2.jpg", b"b/2.jpg"))
    assert failure(path) == f"cannot be read as a tar archive: bad checksum. {ADVICE}"


@pytest.mark.parametrize("content", [b"", b"<html>" * 100, gzip.compress(b"text", mtime=0), b"PK\x03\x04" * 200])
def test_other_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(content)
    assert failure(path).startswith("cannot be read as a tar archive: ")


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_bomb_is_refused_by_its_decoded_bytes(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In members that are left out too."""
    monkeypatch.setattr(tar_archive, "MAX_DECODED_BYTES", 1 << 20)
    monkeypatch.setattr(tar_archive, "MAX_MEMBER_BYTES", 1 << 16)
    path = tmp_path / "bomb.tar"
    path.write_bytes(COMPRESSIONS[suffix](packed(FILES, member("zeros.jpg", size=4 << 20))))
    assert failure(path) == (
        f"cannot be read as a tar archive: it decompresses to more than the 1048576 bytes allowed. {ADVICE}"
    )


def test_large_member_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tar_archive, "MAX_MEMBER_BYTES", 1 << 16)
    path = tmp_path / "some.tar"
    path.write_bytes(packed(FILES, member("zeros.jpg", size=1 << 17)))
    assert contents(path) == FILES
    assert caplog.messages == [f"{path}: member 'zeros.jpg' has 131072 bytes, more than 65536 allowed. It is left out."]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_huge_header_is_refused_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(packed(FILES, member("header", kind, size=(1 << 20) + 1)))
    assert failure(path) == (
        f"cannot be read as a tar archive: a header has 1048577 bytes, more than 1048576 allowed. {ADVICE}"
    )


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    """Their maps have no limit."""
    message = f"cannot be read as a tar archive: it has sparse files; pack it without --sparse. {ADVICE}"
    path = tmp_path / "some.tar"
    path.write_bytes(packed(FILES, member("sparse.jpg", tarfile.GNUTYPE_SPARSE)))
    assert failure(path) == message
    sparse = member("sparse.jpg", size=512)
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    path.write_bytes(packed(FILES, sparse))
    assert failure(path) == message


def test_chain_of_headers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "some.tar"
    path.write_bytes(packed(FILES, *[member("header", tarfile.XGLTYPE)] * 5000))
    assert failure(path).startswith("cannot be read as a tar archive: maximum recursion depth exceeded")
