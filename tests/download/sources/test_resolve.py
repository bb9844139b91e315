"""A folder given as source: its files are found by the look-up of all names."""

import unicodedata
from pathlib import Path

import pytest

from pipeline.download.manifest import Asset
from pipeline.download.sources import resolve
from pipeline.download.transfer import download_file
from tests.download.test_transfer import failure

ASSET = Asset("zips/val2017.zip")
ADVICE = "A folder given as `source` in params.yaml must have the layout of the upstream."


def write(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return str(folder)


@pytest.mark.parametrize(
    "name", ["zips/val2017.zip", "Zips/VAL2017.ZIP", "val2017.zip", "coco/zips/val2017.zip", "coco/zips/Val2017.zip"]
)
def test_file_in_another_case_or_place_is_read(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "source", name, "zips/train2017.zip", "zips/val2017.csv", "zips/notes.txt")
    path = download_file(ASSET, source, tmp_path / "out")
    assert path == tmp_path / "out" / "zips" / "val2017.zip"
    assert path.read_text() == name


def test_folder_in_another_unicode_form_is_read(tmp_path: Path) -> None:
    source = write(tmp_path / "source", unicodedata.normalize("NFD", "Köln/a.csv"))
    assert download_file(Asset("Köln/a.csv"), source, tmp_path / "out").is_file()


def test_missing_file_names_the_nearest_and_several_are_not_guessed_from(tmp_path: Path) -> None:
    source = write(tmp_path / "source", "zips/val_2017.zip")
    assert failure(ASSET, source, tmp_path / "out") == (
        f"{source}/zips/val2017.zip not found; the nearest name is 'zips/val_2017.zip'. {ADVICE}"
    )
    write(tmp_path / "source", "one/zips/val2017.zip", "two/zips/val2017.zip")
    assert failure(ASSET, source, tmp_path / "out") == (
        f"{source}/zips/val2017.zip not found by this name, and 2 fit: 'one/zips/val2017.zip', "
        f"'two/zips/val2017.zip'. {ADVICE}"
    )


def test_unpacked_folder_names_the_nearest(tmp_path: Path) -> None:
    source = write(tmp_path / "source", "label.csv")
    assert failure(Asset("set.zip", unpacked=("labels.csv",)), source, tmp_path / "out") == (
        f"{source} contains neither set.zip nor its members labels.csv; the nearest name is 'label.csv'. {ADVICE}"
    )


def test_search_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "source", "a/b/c/zips/val2017.zip")
    assert failure(ASSET, source, tmp_path / "out") == f"{source}/zips/val2017.zip not found. {ADVICE}"
    write(tmp_path / "source", "Zips/val2017.zip", *(f"Zips/{number}.jpg" for number in range(9)))
    monkeypatch.setattr(resolve, "SEARCHED_ENTRIES", 1)
    assert failure(ASSET, source, tmp_path / "out") == f"{source}/zips/val2017.zip not found. {ADVICE}"
