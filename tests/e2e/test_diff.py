"""boxline diff in a real project: stages rerun, committed, cleaned up, cloned."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pipeline.archives.zip_archive import write_archive
from tests.support.pages import Parts
from tests.support.tiny_project import make_tiny_project, run_dvc, write_params

pytestmark = pytest.mark.slow

GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]
ANNOTATIONS = Path("annotations") / "annotations_trainval2017.zip"
TRAIN = "annotations/instances_train2017.json"
IMAGES = Path("zips") / "train2017.zip"

Edit = Callable[[dict[str, Any], dict[str, bytes]], None]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tables of COCO at the tag `drawn`, made by the stages, and edited ones at `edited`."""
    project = make_tiny_project(tmp_path_factory.mktemp("diff"))
    run_dvc(project, "repro", "validate@coco")
    commit(project, "drawn")
    edit_source(project, a_few_edits)
    run_dvc(project, "repro", "validate@coco")
    commit(project, "edited")
    return project


@pytest.fixture
def project(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))  # DVC remembers folders there
    copied = Path(shutil.copytree(recorded, tmp_path / "project", symlinks=True))
    monkeypatch.chdir(copied)
    return copied


def git(folder: Path, *words: str) -> str:
    return subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(project: Path, tag: str) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", tag)
    git(project, "tag", tag)


def edit_source(project: Path, edit: Edit) -> None:
    """Make a folder of the drawn archives, edited, and the project's source of COCO."""
    download, mirror = project / "data" / "coco" / "download", project / "mirror"
    shutil.copytree(download, mirror, dirs_exist_ok=True)
    annotations, images = members(download / ANNOTATIONS), members(download / IMAGES)
    train = json.loads(annotations[TRAIN])
    edit(train, images)
    write_archive(mirror / ANNOTATIONS, {**annotations, TRAIN: json.dumps(train).encode()}.items())
    write_archive(mirror / IMAGES, images.items())
    params = YAML(typ="safe", pure=True).load(project / "params.yaml")
    params["datasets"]["coco"]["source"] = "mirror"
    write_params(project, params)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def a_few_edits(train: dict[str, Any], images: dict[str, bytes]) -> None:
    """A box loses a fifth of its width, another its class, and the last image goes."""
    first, second, *_, last = train["images"]
    narrowed = of_image(train, first)[0]
    narrowed["bbox"][2] *= 0.8
    relabelled = of_image(train, second)[0]
    others = [category["id"] for category in train["categories"] if category["id"] != relabelled["category_id"]]
    relabelled["category_id"] = others[0]
    train["images"].remove(last)
    train["annotations"] = [one for one in train["annotations"] if one["image_id"] != last["id"]]


def leak_a_validation_image(train: dict[str, Any], images: dict[str, bytes]) -> None:
    """The first training image gets the pixels and the size of a validation image, compressed again."""
    with zipfile.ZipFile("data/coco/download/zips/val2017.zip") as archive:
        content = archive.read(archive.namelist()[0])
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as pixels:
        pixels.save(buffer, "JPEG", quality=60)
        width, height = pixels.size
    first = train["images"][0]
    images[f"train2017/{first['file_name']}"] = buffer.getvalue()
    first |= {"width": width, "height": height}
    train["annotations"] = [one for one in train["annotations"] if one["image_id"] != first["id"]]


def of_image(train: dict[str, Any], image: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in train["annotations"] if one["image_id"] == image["id"]]


def boxline_diff(project: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli.main", "diff", *words]
    result = subprocess.run(command, cwd=project, check=False, capture_output=True, text=True)
    assert not check or result.returncode == 0, result.stderr
    return result


def page_of(project: Path) -> dict[str, Any]:
    data: dict[str, Any] = Parts((project / "diff.html").read_text(encoding="utf-8")).data()
    return data


def expected(project: Path) -> list[str]:
    """The summary lines expected for the edits, counted in the annotations of the drawn images from `dvc get`."""
    run_dvc(project, "get", ".", f"data/coco/download/{ANNOTATIONS}", "--rev", "drawn", "--out", "drawn.zip")
    files = members(project / "drawn.zip")
    contents = [json.loads(content) for content in files.values()]
    images, boxes = (sum(len(content[key]) for content in contents) for key in ("images", "annotations"))
    train = json.loads(files[TRAIN])
    gone = len(of_image(train, train["images"][-1]))
    assert (images, gone > 0) == (48, True)
    return [
        "coco",
        "        before  after  added  removed",
        "images      48     47      0        1",
        f"boxes      {boxes}    {boxes - gone}      0        {gone}  2 changed: 1 moved (IoU 0.80 to 0.80), "
        "1 other class",
    ]


def named(project: Path, tag: str) -> str:
    return f"{tag} ({git(project, 'rev-parse', '--short=7', tag)})"


def test_two_revisions_are_compared_with_previews(project: Path) -> None:
    lines = boxline_diff(project, "drawn", "edited").stdout.splitlines()
    assert lines[0] == f"{named(project, 'drawn')} -> {named(project, 'edited')}"
    assert lines[2:6] == expected(project)
    assert lines[-1] == "Page: diff.html"
    [coco] = page_of(project)["datasets"]
    frames = {frame["version"]: frame for one in coco["previews"] for frame in one["frames"]}
    assert (len(coco["previews"]), coco["images_changed"], set(frames)) == (3, 3, {"before", "both"})
    assert all(frame["source"].startswith("data:image/jpeg;base64,") for frame in frames.values())


def test_new_leak_between_revisions_fails_a_pull_request(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation image in other compression becomes a training image."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    assert boxline_diff(project, "drawn", "edited", "--github").returncode == 0
    assert "no new leaks" in (project / "summary.md").read_text(encoding="utf-8")
    edit_source(project, leak_a_validation_image)
    run_dvc(project, "repro", "--force", "--single-item", "download@coco")  # the address of the source is the same
    run_dvc(project, "repro", "validate@coco")
    result = boxline_diff(project, "edited", "--github", check=False)
    assert result.returncode == 1, result.stderr
    assert "::error title=New leak in coco::train/" in result.stdout
    assert result.stdout.endswith("FAILS: 1 new leak between splits.\n")
    assert "is almost (similarity" in (project / "summary.md").read_text(encoding="utf-8")
    assert (project / "diff.html").exists()


def test_revision_is_compared_with_working_tree(project: Path) -> None:
    assert boxline_diff(project, "edited").stdout == (
        f"{named(project, 'edited')} -> working tree\n\ncoco: no differences\n\nPage: diff.html\n"
    )
    lines = boxline_diff(project, "drawn", "--dataset", "coco").stdout.splitlines()
    assert lines[0] == f"{named(project, 'drawn')} -> working tree"
    assert lines[2:6] == expected(project)


def test_changed_sample_size_adds_images_and_boxes(project: Path) -> None:
    params = YAML(typ="safe", pure=True).load(project / "params.yaml")
    params["datasets"]["coco"]["source"] = "sample"
    params["datasets"]["coco"]["sample"]["val_images"] = 11
    write_params(project, params)
    run_dvc(project, "repro", "validate@coco")
    boxline_diff(project, "drawn")
    [coco] = page_of(project)["datasets"]
    images, boxes = coco["totals"]
    assert (images["before"], images["after"]) == (48, 51)
    for total in (images, boxes):
        assert total["before"] + total["added"] - total["removed"] == total["after"]


def test_garbage_collected_data_is_reported_with_commands(project: Path) -> None:
    run_dvc(project, "gc", "--workspace", "--force")
    result = boxline_diff(project, "drawn", check=False)
    hint = git(project, "rev-parse", "--short=7", "drawn")
    assert (result.returncode, result.stdout) == (1, f"{named(project, 'drawn')} -> working tree\n")
    assert result.stderr == (
        f"Error: data/coco/validate/images.parquet of {named(project, 'drawn')} is neither in DVC's cache nor in its "
        f"remote. Run `dvc push` at that commit on the machine that built it, or build it again: git checkout {hint} "
        "&& dvc repro validate@coco\n"
    )
    assert not (project / "diff.html").exists()


def test_clone_compares_revisions_from_remote_without_pull(project: Path, tmp_path: Path) -> None:
    remote = ("remote", "add", "--local", "--default", "store", str(tmp_path / "remote"))
    run_dvc(project, *remote)
    run_dvc(project, "push", "--quiet", "--all-commits")
    git(tmp_path, "clone", "--quiet", str(project), "clone")
    clone = tmp_path / "clone"
    run_dvc(clone, *remote)
    lines = boxline_diff(clone, "drawn", "edited").stdout.splitlines()
    assert lines[2:6] == expected(project)
    [coco] = page_of(clone)["datasets"]
    assert all(frame["source"] for one in coco["previews"] for frame in one["frames"])
    assert not (clone / "data" / "coco").exists()
    result = boxline_diff(clone, "drawn", check=False)
    assert result.stderr == (
        "Error: The working tree has no data/<dataset>/validate. Run this from the project's root folder, after "
        "`dvc pull` or `dvc repro`.\n"
    )
