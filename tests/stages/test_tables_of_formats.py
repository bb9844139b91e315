"""The stage `tables` on files in a usual format: splits, limits, locations, and what is refused."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.archives.file_tree import FileTree
from pipeline.archives.zip_archive import write_archive
from pipeline.core.config import DatasetConfig
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.read_dataset import read_files
from pipeline.datasets.splits import assign_splits, parse_split
from tests.support.stages import run_stage
from tests.support.tiny_project import PROJECT, tiny_params, write_params

DOWNLOAD = Path("data/mine/download")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def annotation(name: str, *class_names: str) -> bytes:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>7</ymax></bndbox>"
    objects = "".join(f"<object><name>{class_name}</name>{box}</object>" for class_name in class_names)
    size = "<size><width>20</width><height>10</height></size>"
    return f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>".encode()


def picture(seed: int) -> bytes:
    """Rough gray noise; images of other seeds are not similar."""
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 20), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def run(files: dict[str, bytes], **section: Any) -> Reading:
    """Run the stage on loose files, as `download` packs them."""
    params = tiny_params()
    params["datasets"]["mine"] = {"format": "voc", "source": "photos", **section}
    write_params(Path(), params)
    images = [(name, content) for name, content in files.items() if name.endswith(".png")]
    write_archive(DOWNLOAD / "images.zip", images)
    write_archive(DOWNLOAD / "annotations.zip", [pair for pair in files.items() if pair not in images])
    run_stage("tables", "mine")
    return Reading.read(Path("data/mine/tables"))


def folder_of_photographs(seeds: list[int]) -> dict[str, bytes]:
    files = {}
    for number, seed in enumerate(seeds):
        files[f"{number}.png"] = picture(seed)
        files[f"{number}.xml"] = annotation(str(number), "cat", "dog")
    return files


def test_images_without_splits_are_split_by_shares(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        reading = run(folder_of_photographs(list(range(10))))
    assert sorted(reading.tables.images["split"].to_pylist()) == ["train"] * 8 + ["val"] * 2
    assert reading.tables.images["member"].to_pylist() == [f"{number}.png" for number in range(10)]
    assert reading.box_locations.to_pylist()[3] == {"file": "1.xml", "element": "object", "number": 2}
    assert caplog.messages[0].endswith("datasets.mine.split changes that")
    assert caplog.messages[-1] == "wrote 10 images of mine with 20 boxes: 8 train, 2 val"


def test_similar_images_get_one_split() -> None:
    """Every photograph is there twice, the second time as another file."""
    files = folder_of_photographs([*range(8), *range(8)])
    for number in range(8, 16):
        with Image.open(io.BytesIO(files[f"{number}.png"])) as image:
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=1)
        files[f"{number}.png"] = buffer.getvalue()
    tables = run(files, split={"kind": "random", "val": 0.25, "group_by": "similar"}).tables
    by_name = dict(zip(tables.images["file_name"].to_pylist(), tables.images["split"].to_pylist(), strict=True))
    assert [by_name[f"{number}.png"] for number in range(8)] == [by_name[f"{number + 8}.png"] for number in range(8)]
    assert sorted(by_name.values()) == ["train"] * 12 + ["val"] * 4


def test_limit_applies_to_each_split() -> None:
    reading = run(folder_of_photographs(list(range(10))), limit=1)
    assert sorted(reading.tables.images["split"].to_pylist()) == ["train", "val"]
    assert reading.box_locations.num_rows == reading.tables.boxes.num_rows == 4
    assert {row["kind"]: row["count"] for row in reading.passed_over.to_pylist()} == {
        "boxes of images beyond the limit": 16,
        "images beyond the limit": 8,
    }


def test_limit_and_split_apply_to_a_published_dataset() -> None:
    params = tiny_params()
    split = {"kind": "random", "val": 0.5}
    params["datasets"]["coco"] |= {
        "limit": 5,
        "split": split,
        "sample": {"seed": 1, "train_images": 12, "val_images": 4},
    }
    write_params(Path(), params)
    for stage in ("sample", "download", "tables", "inspect", "validate"):
        run_stage(stage, "coco")
    reading = Reading.read(Path("data/coco/tables"))
    assert sorted(reading.tables.images["split"].to_pylist()) == ["train"] * 5 + ["val"] * 5
    assert reading.passed_over.to_pylist()[1]["kind"] == "images beyond the limit"
    assert Path("data/coco/validate/images.parquet").exists()


def test_folder_of_the_sample_names_the_module_of_another_source() -> None:
    """The stage `download` depends on it, and has to run again for another module."""
    params = tiny_params()
    params["datasets"]["coco"] = {"module": "coco", "source": "upstream"}
    params["datasets"]["mine"] = {"format": "voc", "source": "sample"}
    write_params(Path(), params)
    for name in ("coco", "mine"):
        run_stage("sample", name)
    assert [path.read_text() for path in Path("data/coco/sample").iterdir()] == ["coco\n"]
    assert list(Path("data/mine/sample").iterdir()) == []


def test_split_without_training_images_is_an_error_and_leaves_nothing() -> None:
    files = {f"test/{name}": content for name, content in folder_of_photographs([1, 2]).items()}
    with pytest.raises(BoxlineError) as raised:
        run(files)
    assert str(raised.value) == (
        "datasets.mine has no images to train with: the files assign 2 to test, expected at least one image in train. "
        "Write `split: {kind: published, train: test}` or `split: {kind: random}` into datasets.mine."
    )
    assert not Path("data/mine/tables").exists()
    trained = run(files, split={"kind": "published", "train": "test"})
    assert trained.tables.images["split"].to_pylist() == ["train", "train"]


REAL_DATA = PROJECT.parent / "shared" / "data" / "real"


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real images: ../shared/data is not there")
def test_augmented_copies_of_a_real_photograph_stay_in_one_split() -> None:
    """Roboflow made three copies of each of 70 photographs; the other 20 images are single ones."""
    config = DatasetConfig(format="coco", source="rbc_coco", split={"kind": "random", "group_by": r"([^/]*)_png\.rf\."})
    split = parse_split(config.split, "datasets.rbc")
    reading = read_files("rbc", config, FileTree(REAL_DATA / "rbc_coco"))
    images = assign_splits(reading, split, "datasets.rbc").tables.images
    splits_of_photograph: dict[str, list[str]] = {}
    for name, image_split in zip(images["file_name"].to_pylist(), images["split"].to_pylist(), strict=True):
        splits_of_photograph.setdefault(Path(name).name.partition("_png")[0], []).append(image_split)
    assert sorted(map(len, splits_of_photograph.values())) == [1] * 20 + [3] * 70
    assert all(len(set(splits)) == 1 for splits in splits_of_photograph.values())
    assert abs(images["split"].to_pylist().count("val") - 46) < 3
