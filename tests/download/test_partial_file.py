from pathlib import Path

import pytest

from pipeline.download.partial_file import PartialFile
from pipeline.download.sources.base import FileVersion

OLD, NEW = FileVersion(5, '"old"'), FileVersion(9, '"new"')


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "files" / "a.bin", tmp_path / "records" / "a.bin.json"


def test_a_later_process_knows_how_far_the_former_one_came(paths: tuple[Path, Path]) -> None:
    part = PartialFile(*paths)
    part.begin("here", OLD)
    part.append(b"abc")
    later = PartialFile(*paths)
    assert (later.size_bytes, later.offset, later.version, later.is_whole) == (3, 3, OLD, False)
    later.append(b"de")
    assert later.is_whole
    assert later.digests.get("md5") == "ab56b4d92b40713acc5af89985d4b786"  # echo -n abcde | md5sum


@pytest.mark.parametrize(
    ("come", "origin", "version", "belongs"),
    [
        (b"abc", "here", OLD, True),
        (b"abc", "here", FileVersion(None, '"old"'), True),
        (b"abc", "there", OLD, False),
        (b"abc", "here", FileVersion(5, '"new"'), False),
        (b"abc", "here", FileVersion(6, '"old"'), True),  # whoever is asked for the rest tells the true size
        (b"abcde", "here", FileVersion(6, '"old"'), False),
        (b"abc", "here", FileVersion(5, None), False),
    ],
)
def test_bytes_belong_to_a_version_that_nothing_contradicts(
    paths: tuple[Path, Path], come: bytes, origin: str, version: FileVersion, belongs: bool
) -> None:
    part = PartialFile(*paths)
    part.begin("here", OLD)
    part.append(come)
    assert part.belongs_to(origin, version) == belongs


def test_without_a_validator_nobody_goes_on(paths: tuple[Path, Path]) -> None:
    part = PartialFile(*paths)
    part.begin("here", FileVersion(5, None))
    part.append(b"abc")
    assert (part.size_bytes, part.offset) == (3, 0)


def test_bytes_never_stand_beside_an_older_record(paths: tuple[Path, Path]) -> None:
    def killed(path: Path) -> None:
        path.write_bytes(b"new bytes")
        raise KeyboardInterrupt

    part = PartialFile(*paths)
    part.begin("here", OLD)
    part.append(b"abc")
    with pytest.raises(KeyboardInterrupt):
        part.fill("here", NEW, killed)
    assert PartialFile(*paths).size_bytes == 0
    assert not paths[0].exists()


def test_without_a_record_path_a_part_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"of a former run")
    assert PartialFile(tmp_path / "a.bin").size_bytes == 0
    assert not (tmp_path / "a.bin").exists()
