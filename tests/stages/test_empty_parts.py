"""Every split, class and kind of box is empty once, and goes through the data stages and commands.

Each either works, or ends with one sentence that says what is missing.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.archives.zip_archive import Archive, write_archive
from pipeline.cli.check import check
from pipeline.cli.diff import diff
from pipeline.cli.export import export
from pipeline.cli.show import show
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.parquet import read_table
from pipeline.datasets.coco.sample import CocoSampleWriter, SampleConfig
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, annotation_member
from tests.support.stages import run_stage
from tests.support.tiny_project import tiny_params, write_params

Content = dict[str, dict[str, list[dict[str, Any]]]]
COCO = Path("data/coco")
SYSTEM = "coco_yolo"
STAGES = {"tables": "coco", "inspect": "coco", "validate": "coco", "pack": SYSTEM, "targets": SYSTEM}


def split_of(name: str, key: str, *, keep: Callable[[dict[str, Any]], bool] = lambda _: False) -> Callable[..., None]:
    def change(content: Content) -> None:
        content[name][key] = [entry for entry in content[name][key] if keep(entry)]
        known = {image["id"] for image in content[name]["images"]}
        content[name]["annotations"] = [one for one in content[name]["annotations"] if one["image_id"] in known]

    return change


def crowds_only(content: Content) -> None:
    for split in content.values():
        split["annotations"] = [entry | {"iscrowd": 1} for entry in split["annotations"]]


def one_class_gone(content: Content) -> None:
    for split in content.values():
        split["annotations"] = [entry for entry in split["annotations"] if entry["category_id"] != 2]


def no_boxes(content: Content) -> None:
    for split in content.values():
        split["annotations"] = []


def val_rejected(content: Content) -> None:
    for image in content["val"]["images"]:
        image["width"] = -1


def no_val_class_listed(content: Content) -> None:
    content["val"] = {"images": content["val"]["images"], "annotations": [], "categories": []}


# name, change, the stage that ends with a sentence and how it begins; None if all work
CASES: list[tuple[str, Callable[[Content], None], tuple[str, str] | None]] = [
    ("nothing empty", lambda _: None, None),
    ("no training images", split_of("train", "images"), ("tables", "datasets.coco has no images to train with: ")),
    ("no val images", split_of("val", "images"), ("targets", "Split 'val' has no images, but the system needs it: ")),
    ("no training boxes", split_of("train", "annotations"), ("validate", "coco fails validation: no training boxes ")),
    ("no val boxes", split_of("val", "annotations"), None),
    ("no boxes", no_boxes, ("validate", "coco fails validation: no training boxes ")),
    ("crowds only", crowds_only, None),
    ("a class without boxes", one_class_gone, None),
    ("val in quarantine", val_rejected, ("targets", "Split 'val' has no images, but the system needs it: ")),
    ("val lists no classes", no_val_class_listed, None),
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    CocoSampleWriter().write(folder, SampleConfig(seed=5, train_images=12, val_images=6))
    return folder


@pytest.mark.parametrize(("change", "end"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_data_stages_and_commands_take_empty_parts(
    change: Callable[[Content], None],
    end: tuple[str, str] | None,
    drawn: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    params = tiny_params()
    params["datasets"]["coco"]["validate"]["max_quarantined_fraction"] = 0.9
    params["systems"][SYSTEM]["targets"]["crowd"] = "encode"
    write_params(Path(), params)
    write_changed(drawn, COCO / "download", change)
    ended = None
    for stage, key in STAGES.items():
        try:
            run_stage(stage, key)
        except BoxlineError as error:
            ended = stage, str(error)
            break
    assert (ended and ended[0]) == (end and end[0])
    if ended and end:
        assert ended[1].startswith(end[1])
        assert "\n" not in ended[1]
    if end and end[0] == "tables":
        return
    assert show("coco") == 0
    assert check(["coco"]) == int(end is not None and end[0] == "validate")
    if end and end[0] == "validate":
        return
    assert diff(str(COCO / "validate"), None) == 0
    assert "no differences" in capsys.readouterr().out
    for split in read_table(COCO / "validate/images.parquet", schema.IMAGES)["split"].unique().to_pylist():
        assert export(COCO / "validate", tmp_path / f"{split}.json", split=split) == 0


def write_changed(drawn: Path, download: Path, change: Callable[[Content], None]) -> None:
    for name in ("train", "val"):
        (download / "zips").mkdir(parents=True, exist_ok=True)
        os.link(drawn / "zips" / f"{name}2017.zip", download / "zips" / f"{name}2017.zip")
    archive = Archive(drawn / ANNOTATION_ARCHIVE)
    content = {split: json.loads(archive[annotation_member(split)].read()) for split in ("train", "val")}
    change(content)
    members = [(annotation_member(split), json.dumps(one).encode()) for split, one in content.items()]
    write_archive(download / ANNOTATION_ARCHIVE, members)
