"""boxline add: what it prints, what it writes into params.yaml, and what it refuses."""

import io
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.cli.add import add
from pipeline.cli.params import params as check_params
from pipeline.core.errors import BoxlineError
from tests.support.servers import FaultyServer
from tests.support.tfrecord_files import example, record
from tests.support.tiny_project import PROJECT

BOXES = {
    "train/1": [("cat", 10, 20, 60, 70), ("dog", 5, 5, 30, 25)],
    "train/2": [("cat", 0, 0, 40, 40), ("cat", 7, 7, 7, 30)],  # the second one has no width
    "train/3": [],
    "test/4": [("dog", 50, 20, 90, 60)],
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and, in `pets`, four images with VOC files beside them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    write_voc(tmp_path / "pets", BOXES)
    return tmp_path


def write_voc(folder: Path, boxes: dict[str, list[tuple[str, int, int, int, int]]]) -> None:
    for number, (name, objects) in enumerate(boxes.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80), (number, 0, 0)).save(path.with_suffix(".png"))
        elements = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            "</bndbox></object>"
            for label, x1, y1, x2, y2 in objects
        )
        path.with_suffix(".xml").write_text(
            f"<annotation><filename>{path.name}.png</filename><size><width>100</width><height>80</height></size>"
            f"{elements}</annotation>"
        )


def entries() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(Path("params.yaml"))
    return loaded


def message(*args: Any, **options: Any) -> str:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(BoxlineError) as caught:
        add(*args, **options)
    assert Path("params.yaml").read_bytes() == before
    return str(caught.value)


def test_prints_what_was_found(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add("pets", "pets") == 0
    output = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert output[0] == "pets is read as voc: 4 XML files, <annotation> in 4 of 4 that were looked at."
    assert output[2] == "found 4 images, 5 boxes, 2 classes; 1 row for quarantine"
    assert output[4:8] == [
        "split images without boxes boxes boxes per image",
        "------- -------- --------------- ------- -----------------",
        "train 3 1 3 0 to 2, mean 1.0",
        "test 1 0 1 1 to 1, mean 1.0",
    ]
    assert output[9:13] == ["class train test", "------- ------- ------", "cat 2 0", "dog 1 1"]
    assert "image size 100 x 80 pixels" in output
    assert "box size shorter side 20 to 50 pixels, median 40" in output
    [found] = [line for line in output if line.startswith("box_size_not_positive")]
    assert found.startswith("box_size_not_positive quarantined 1 ")
    assert "train/2.xml, object 2" in found


def test_entries_are_written_and_valid(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = entries()
    add("pets", "pets", classes=["dog", "cat"])
    after = entries()
    assert after["datasets"].pop("pets") == {"format": "voc", "source": "pets", "classes": ["dog", "cat"]}
    system = after["systems"].pop("pets_detector")
    assert (system["module"], system["dataset"], system["evaluate"]["split"]) == (
        "anchor_free_detector",
        "pets",
        "test",
    )
    assert (system["pack"]["image_size"], system["targets"]["max_boxes"]) == (160, 16)
    assert system["train"]["phases"]["all"]["epochs"] == 60
    assert after == before
    check_params()
    assert "evaluate@pets_detector" in capsys.readouterr().out


def test_dry_run_prints_both_entries_and_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("params.yaml").read_bytes()
    assert add("pets", "pets", dry_run=True) == 0
    assert Path("params.yaml").read_bytes() == before
    output = capsys.readouterr().out
    assert output.endswith("\nNothing was written, because of --dry-run.\n")
    [datasets, systems] = re.findall(r"^(?:datasets|systems):\n(?:  .*\n)+", output, re.MULTILINE)
    printed = YAML(typ="safe", pure=True).load(datasets + systems)
    add("pets", "pets")
    assert printed["datasets"]["pets"] == entries()["datasets"]["pets"]
    assert printed["systems"]["pets_detector"] == entries()["systems"]["pets_detector"]


def test_names_in_use_are_refused(project: Path) -> None:
    assert message("coco", "pets") == (
        "params.yaml: datasets.coco exists already. Choose another name, or delete this entry first."
    )
    add("pets", "pets")
    assert message("pets", "pets") == (
        "params.yaml: datasets.pets exists already. Choose another name, or delete this entry first."
    )


@pytest.mark.parametrize("name", ["Pets", "my pets", "1pets", "../pets", ""])
def test_name_that_params_cannot_have_is_refused(project: Path, name: str) -> None:
    assert message(name, "pets") == (
        f"NAME: received {name!r}, expected a lower-case letter, then lower-case letters, digits and underscores."
    )


def test_unknown_format_is_refused(project: Path) -> None:
    assert message("pets", "pets", format="vok").startswith("--format: received 'vok', expected one of ")


def test_files_of_no_known_format_are_refused_with_their_kinds(project: Path) -> None:
    folder = project / "photos"
    folder.mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    (folder / "1.png").write_bytes(buffer.getvalue())
    (folder / "notes.txt").write_text("remember the milk")
    assert message("photos", "photos").startswith(
        "photos: found no annotations in a known format among 2 files: 1 image, 1 other (notes.txt). "
        "If they have one, name it with --format: "
    )


@pytest.mark.parametrize("word", ["val", "=0.2", "val:0.2", "seed.=1", ".val=1", "seed.val=1", "seed=2"])
def test_malformed_split_is_refused(project: Path, word: str) -> None:
    assert message("pets", "pets", split=["seed=1", word]) == (
        f"--split: received {word!r}, expected key=value, such as val=0.2, each key once."
    )


def test_options_name_the_columns_of_a_table(project: Path) -> None:
    rows = ["photo|species|cx|cy|w|h".replace("|", ";"), "train/1;cat;0.5;0.5;0.2;0.2", "test/4;dog;0.5;0.5;0.2;0.2"]
    Path("pets/boxes.csv").write_text("\n".join(rows))
    columns = {"image": "photo", "label": 2, "x_center": "cx", "y_center": "cy", "width": "w", "height": "h"}
    words = [*(f"columns.{role}={column}" for role, column in columns.items()), "header=true", 'files=["boxes.csv"]']
    add("pets", "pets", format="csv", options=words)
    added = entries()["datasets"]["pets"]["options"]
    assert added == {"columns": columns, "header": True, "files": ["boxes.csv"]}
    check_params()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["units"], "--options: received 'units', expected key=value, such as units=pixels, each key once."),
        (["first_pixel=2"], "the new entry: options.first_pixel: received 2, expected 0 or 1."),
        (["units=pixels"], "the new entry: options: unknown key 'units', expected one of first_pixel."),
        (["first_pixel.x=1"], "the new entry: options.first_pixel: received {'x': 1}, expected an integer."),
    ],
)
def test_wrong_options_are_refused(project: Path, words: list[str], expected: str) -> None:
    assert message("pets", "pets", options=words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["val=[0.2"], "the new entry: split.val: received '[0.2', expected a number."),
        (["val=2"], "the new entry: split.val: received 2, expected a number < 1."),
        (["val=NaN"], "the new entry: split.val: received nan, expected a finite number."),
        (["folds=5", "fold=7"], "the new entry: split: received fold 7 of 5 folds, expected 0 to 4."),
    ],
)
def test_wrong_split_is_refused_before_files_are_read(project: Path, words: list[str], expected: str) -> None:
    assert message("pets", "nowhere", split=words) == expected


def test_group_may_be_any_regular_expression(project: Path) -> None:
    add("pets", "pets", split=["val=0.5", "group_by=[a-z]*/([0-9])"])
    assert entries()["datasets"]["pets"]["split"] == {"kind": "random", "val": 0.5, "group_by": "[a-z]*/([0-9])"}


def test_one_image_is_too_few(project: Path) -> None:
    write_voc(project / "one", {"1": BOXES["train/1"]})
    assert message("one", "one") == ("one: found 1 image, expected at least 2: one to train with and one to score.")


def test_first_refused_line_is_named_if_no_image_is_left(project: Path) -> None:
    Path("rows").mkdir()
    Path("rows/boxes.csv").write_text("filename,class,xmin,ymin,xmax,ymax\n1.png,cat,1,2,3\n")
    assert message("rows", "rows", format="csv") == (
        "rows: found 0 images, expected at least 2: one to train with and one to score. boxes.csv, line 2: received 5 "
        "fields (1.png,cat,1,2,3), expected 6: filename, class, xmin, ymin, xmax, ymax."
    )


@pytest.mark.parametrize("classes", [["bird"], None])
def test_nothing_is_written_without_boxes(
    project: Path, capsys: pytest.CaptureFixture[str], classes: list[str] | None
) -> None:
    write_voc(project / "empty", {"1": [], "2": []})
    source = "pets" if classes else "empty"
    assert message("pets", source, classes=classes) == (
        f"{source}: found no boxes that pass the checks, expected some. Nothing was written."
    )
    assert "0 boxes" in capsys.readouterr().out


@pytest.mark.parametrize("classes", [["cat", "cat"], ["cat", ""]])
def test_classes_that_are_not_distinct_are_refused(project: Path, classes: list[str]) -> None:
    assert message("pets", "pets", classes=classes) == (
        f"the new entry: datasets.pets.classes: received {classes}, expected names of classes that differ and are not "
        "empty."
    )


def test_source_of_an_entry_is_not_empty(project: Path) -> None:
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("datasets:\n", 'datasets:\n  pets: {format: voc, source: ""}\n', 1))
    assert message("cats", "pets") == "params.yaml: datasets.pets.source: received '', expected text that is not empty."


def test_failure_of_the_stage_validate_is_announced(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add("pets", "pets")
    assert capsys.readouterr().out.endswith(
        "\n\nThe stage validate will fail: 1 of 9 rows (11.1 %) are in quarantine, the limit is 5 % "
        "(box_size_not_positive 1; first: train/2.xml, object 2 (box 5 of train/2.png in train): width 0, height 23).\n"
    )


@pytest.mark.parametrize(
    ("splits", "chosen", "line"),
    [
        (("valid", "test"), {"kind": "published", "train": "val"}, "The files have no training split: val trains, and"),
        (("train",), {"kind": "random", "val": 0.2}, "Splits of the files: train. A fifth of the images, chosen by a"),
        (("test",), {"kind": "random", "val": 0.2, "test": 0.0}, "Splits of the files: test. A fifth of the images,"),
        (("photos",), {"kind": "random", "val": 0.2, "test": 0.0}, "Splits of the files: none. A fifth of the images,"),
    ],
)
def test_split_is_chosen_where_the_files_lack_one(
    project: Path, capsys: pytest.CaptureFixture[str], splits: tuple[str, ...], chosen: dict[str, Any], line: str
) -> None:
    write_voc(project / "more", {f"{split}/{number}": BOXES["train/1"] for split in splits for number in range(10)})
    add("more", "more")
    assert entries()["datasets"]["more"]["split"] == chosen
    assert f"\n{line}" in capsys.readouterr().out
    scored = entries()["systems"]["more_detector"]["evaluate"]["split"]
    assert scored == ("test" if chosen["kind"] == "published" else "val")


def test_words_of_split_become_its_section(project: Path) -> None:
    add("pets", "pets", split=["folds=2", "fold=1", "seed=7"])
    assert entries()["datasets"]["pets"]["split"] == {"kind": "folds", "folds": 2, "fold": 1, "seed": 7}
    check_params()


def test_missing_images_are_reported(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "pets" / "train" / "1.png").unlink()
    add("pets", "pets")
    [line] = re.findall(r"^image_file_missing .*", capsys.readouterr().out, re.MULTILINE)
    assert " ".join(line.split()) == (
        "image_file_missing quarantined 1 train/1.xml (image 2, train/1.png in train): member train/1.png, "
        "problem not found"
    )


def test_images_in_record_files_are_found(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = io.BytesIO()
    Image.new("L", (100, 80)).save(content, "PNG")
    sides = {"xmin": 0.1, "ymin": 0.1, "xmax": 0.5, "ymax": 0.5}
    features = {
        "image/encoded": [content.getvalue()],
        "image/filename": [b"1.png"],
        "image/object/class/text": [b"cat"],
        **{f"image/object/bbox/{side}": [value] for side, value in sides.items()},
    }
    Path("records").mkdir()
    for split in ("train", "test"):
        Path(f"records/{split}.record").write_bytes(record(example(features)))
    assert add("pets", "records", dry_run=True) == 0
    output = capsys.readouterr().out
    assert output.startswith("records is read as tfrecord: 2 TFRecord files, the first test.record.\n")
    assert "found 2 images, 2 boxes, 1 class; 0 rows for quarantine" in output


def test_tar_archive_is_converted_and_its_members_are_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open("pets.tar.gz", "w:gz") as archive:
        archive.add("pets")
    add("pets", "pets.tar.gz", dry_run=True)
    output = capsys.readouterr().out
    assert output.startswith("pets.tar.gz is read as voc: 4 XML files, ")
    assert "\nfound 4 images, 5 boxes, 2 classes; 1 row for quarantine\n" in output
    assert [path.name for path in Path("data/pets/download").iterdir()] == ["pets.zip"]


def test_download_of_an_address_is_reused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = FaultyServer({"pets.zip": Path(shutil.make_archive("pets", "zip", "pets")).read_bytes()})
    with server.running() as address:
        add("pets", f"{address}/pets.zip", dry_run=True)
        sent_bytes = server.sent_bytes
        assert sent_bytes == len(server.files["pets.zip"])
        add("pets", f"{address}/pets.zip")
        assert server.sent_bytes == sent_bytes
    assert entries()["datasets"]["pets"]["source"] == f"{address}/pets.zip"
    assert capsys.readouterr().out.count("\nfound 4 images, 5 boxes, 2 classes; 1 row for quarantine\n") == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("pest", "pest not found; did you mean pets?"),
        (
            "pets/train/1.xml",
            "pets/train/1.xml is neither a folder nor an archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz, "
            ".txz) or a TFRecord file. Name the folder that holds the annotations and the images.",
        ),
        ("", "SOURCE: received '', expected a folder, an archive or an address."),
        (".", ". is a folder that this project is in. Name the folder of the images alone."),
        ("..", ".. is a folder that this project is in. Name the folder of the images alone."),
        ("ftp://host/pets.zip", "ftp://host/pets.zip cannot be read"),
    ],
)
def test_wrong_source_is_refused(project: Path, source: str, expected: str) -> None:
    assert message("pets", source).startswith(expected)
