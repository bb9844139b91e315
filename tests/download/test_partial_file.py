from pathlib import Path

import pytest

from pipeline.download.partial_file import PartialFile
from pipeline.download.sources.base import FileVersion

OLD, NEW = FileVersion(5, '"old"'), FileVersion(9, '"new"')


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "files" / "a.bin", tmp_path / "metadata" / "a.bin.json"


def test_later_process_resumes_from_metadata(paths: tuple[Path, Path]) -> None:
    partial_file = PartialFile(*paths)
    partial_file.start("here", OLD)
    partial_file.append(b"abc")
    later = PartialFile(*paths)
    assert (later.size_bytes, later.resume_offset, later.version, later.is_complete) == (3, 3, OLD, False)
    later.append(b"de")
    assert later.is_complete
    assert later.checksums.hexdigest("md5") == "ab56b4d92b40713acc5af89985d4b786"  # echo -n abcde | md5sum


@pytest.mark.parametrize(
    ("received", "origin", "version", "belongs"),
    [
        (b"abc", "here", OLD, True),
        (b"abc", "here", FileVersion(None, '"old"'), True),
        (b"abc", "there", OLD, False),
        (b"abc", "here", FileVersion(5, '"new"'), False),
        (b"abc", "here", FileVersion(6, '"old"'), True),  # the response with the missing bytes states the true size
        (b"abcde", "here", FileVersion(6, '"old"'), False),
        (b"abc", "here", FileVersion(5, None), False),
    ],
)
def test_bytes_belong_to_version_without_contradictions(
    paths: tuple[Path, Path], received: bytes, origin: str, version: FileVersion, belongs: bool
) -> None:
    partial_file = PartialFile(*paths)
    partial_file.start("here", OLD)
    partial_file.append(received)
    assert partial_file.is_part_of(origin, version) == belongs


def test_without_validator_resume_offset_is_zero(paths: tuple[Path, Path]) -> None:
    partial_file = PartialFile(*paths)
    partial_file.start("here", FileVersion(5, None))
    partial_file.append(b"abc")
    assert (partial_file.size_bytes, partial_file.resume_offset) == (3, 0)


def test_bytes_are_never_next_to_older_metadata(paths: tuple[Path, Path]) -> None:
    def write_and_die(path: Path) -> None:
        path.write_bytes(b"new bytes")
        raise KeyboardInterrupt

    partial_file = PartialFile(*paths)
    partial_file.start("here", OLD)
    partial_file.append(b"abc")
    with pytest.raises(KeyboardInterrupt):
        partial_file.write_complete("here", NEW, write_and_die)
    assert PartialFile(*paths).size_bytes == 0
    assert not paths[0].exists()


def test_without_metadata_path_existing_bytes_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"of a previous run")
    assert PartialFile(tmp_path / "a.bin").size_bytes == 0
    assert not (tmp_path / "a.bin").exists()
