"""The stage `download` on files of a user, from a folder of photos to tables."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.cli.outdated import outdated
from pipeline.core.errors import BoxlineError
from tests.support.dataset_folders import png, write_tree
from tests.support.stages import run_stage
from tests.support.tiny_project import tiny_params, write_params

VOC = (
    "<annotation><filename>{name}.png</filename><size><width>20</width><height>10</height></size><object>"
    "<name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>"
)

Downloaded = Callable[[str], None]


def photos(*names: str) -> dict[str, bytes | str]:
    return {f"{name}.png": png(20, 10) for name in names} | {f"{name}.xml": VOC.format(name=name) for name in names}


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Downloaded:
    """Downloads the dataset `pets`, in the format VOC, from a source."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    def download(source: str) -> None:
        params = tiny_params()
        params["datasets"]["pets"] = {"format": "voc", "source": source}
        write_params(Path(), params)
        run_stage("download", "pets")

    return download


def table_of_images() -> list[tuple[str, str, str]]:
    run_stage("tables", "pets")
    images = pq.read_table("data/pets/tables/images.parquet")
    return list(zip(*(images[name].to_pylist() for name in ("file_name", "archive", "member")), strict=True))


def test_folder_of_photos_becomes_tables(downloaded: Downloaded, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(Path("../photos"), {**photos("a", "b"), "holiday.mp4": b"", ".DS_Store": b""})
    downloaded("../photos")
    assert table_of_images() == [("a.png", "images.zip", "a.png"), ("b.png", "images.zip", "b.png")]
    assert pq.read_table("data/pets/tables/boxes.parquet").num_rows == 2
    assert outdated(["pets"]) == 0
    assert capsys.readouterr().out == ""
    write_tree(Path("../photos"), photos("c"))
    assert outdated(["pets"]) == 0
    assert capsys.readouterr().out == "pets\n"
    downloaded("../photos")
    assert [name for name, *_ in table_of_images()] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("source", [".", "..", "data/pets", "data/pets/raw", "data/../data/pets"])
def test_outputs_of_the_project_are_no_part_of_its_source(downloaded: Downloaded, source: str) -> None:
    """The second download would hold the first one."""
    place = Path("photos") if source in (".", "..") else Path("data/pets/raw")
    write_tree(place, photos("a", "b"))
    folder = place.absolute().relative_to(Path(source).resolve())
    for _ in range(2):
        downloaded(source)
        assert [Path(member) for _, _, member in table_of_images()] == [folder / "a.png", folder / "b.png"]


def test_wrong_source_leaves_the_previous_download(downloaded: Downloaded) -> None:
    write_tree(Path("../photos"), photos("a", "b"))
    downloaded("../photos")
    with pytest.raises(BoxlineError) as raised:
        downloaded("../photo")
    assert str(raised.value) == (
        "../photo not found; did you mean ../photos? Check the address in `source` of params.yaml."
    )
    assert [name for name, *_ in table_of_images()] == ["a.png", "b.png"]
