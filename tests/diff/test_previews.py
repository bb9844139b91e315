from pathlib import Path

import numpy as np
import pytest

from pipeline.diff import previews as module
from pipeline.diff.difference import Difference, Snapshot, compare
from pipeline.diff.previews import BoxChange, Preview, PreviewBox, image_change_kinds, make_previews, select_images
from pipeline.diff.revisions import DatasetVersion
from pipeline.diff.thumbnails import ThumbnailReader
from tests.support import diff_scene as scene

CAT, DOG, OWL = 0, 1, 2
"""Indices of the classes in order of their names; "cat" is renamed to "<script>..."."""


@pytest.fixture
def versions(tmp_path: Path) -> tuple[DatasetVersion, DatasetVersion]:
    return scene.versions(tmp_path)


@pytest.fixture
def difference(versions: tuple[DatasetVersion, DatasetVersion]) -> Difference:
    return compare(Snapshot.read(versions[0], "old"), Snapshot.read(versions[1], "new"))


def previews_by_name(difference: Difference, versions: tuple[DatasetVersion, DatasetVersion]) -> dict[str, Preview]:
    """Return the previews of all changed images by file name."""
    indices = select_images(image_change_kinds(difference), 99)
    previews = make_previews(
        difference, indices, ThumbnailReader(versions[0], "old"), ThumbnailReader(versions[1], "new")
    )
    return {(one.after or one.before or ("", ""))[1]: one for one in previews}


def name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def test_images_have_kinds_of_change_of_themselves_and_their_boxes(difference: Difference) -> None:
    before, after = (one.images["image_id"].to_pylist() for one in (difference.before, difference.after))
    pairs = zip(difference.images.before, difference.images.after, strict=True)
    ids = np.array([after[row_after] if row_after >= 0 else before[row_before] for row_before, row_after in pairs])
    images_by_kind = {kind: set(ids[where].tolist()) for kind, where in image_change_kinds(difference).items()}
    assert {kind: images for kind, images in images_by_kind.items() if images} == {
        "image added": {scene.ADDED},
        "image removed": {scene.REMOVED},
        "image pixels": {scene.OTHER_PIXELS},
        "image size": {scene.OTHER_PIXELS},
        "image split": {scene.MOVED},
        "box added": {scene.EDITED},  # not the added image, whose boxes are all added
        "box removed": {scene.EDITED},
        "box moved": {scene.EDITED},
        "box class": {scene.EDITED},
        "box crowd": {scene.EDITED},
    }


def test_boxes_are_relative_and_changed_ones_come_first(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion]
) -> None:
    edited = previews_by_name(difference, versions)[scene.QUOTED]
    assert (edited.before, edited.after) == (("train", scene.QUOTED), ("train", scene.QUOTED))
    assert edited.kinds == ["box added", "box removed", "box moved", "box class", "box crowd"]
    assert edited.boxes == [
        BoxChange(
            ["box moved"],
            PreviewBox(0.25, 0.25, 0.5625, 0.5, CAT, False),
            PreviewBox(0.25, 0.25, 0.5, 0.5, CAT, False),
            0.8,
        ),
        BoxChange(
            ["box class"], PreviewBox(0, 0.5, 0.25, 1, DOG, False), PreviewBox(0, 0.5, 0.25, 1, CAT, False), None
        ),
        BoxChange(
            ["box crowd"],
            PreviewBox(0.625, 0.75, 0.75, 1, OWL, False),
            PreviewBox(0.625, 0.75, 0.75, 1, OWL, True),
            None,
        ),
        BoxChange(["box removed"], PreviewBox(0.5, 0.75, 0.5625, 1, DOG, False), None, None),
        BoxChange(["box added"], None, PreviewBox(0.125, 0.75, 0.1875, 1, DOG, False), None),
        BoxChange([], PreviewBox(0.75, 0, 1, 0.125, DOG, False), PreviewBox(0.75, 0, 1, 0.125, DOG, False), None),
    ]
    assert edited.boxes_omitted == 0
    other = previews_by_name(difference, versions)[name(scene.OTHER_PIXELS)]
    [same] = other.boxes
    assert same == BoxChange(
        [], PreviewBox(0.25, 0.25, 0.75, 0.75, DOG, False), PreviewBox(0.16667, 0.375, 0.5, 1.125, DOG, False), None
    )


def test_image_with_other_pixels_has_one_frame_per_version(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion]
) -> None:
    previews = previews_by_name(difference, versions)
    frames = {
        one: [(frame.version, frame.width, frame.height) for frame in preview.frames]
        for one, preview in previews.items()
    }
    assert frames == {
        scene.QUOTED: [("both", 64, 48)],
        name(scene.OTHER_PIXELS): [("before", 40, 60), ("after", 60, 40)],
        name(scene.MOVED): [("both", 64, 48)],
        name(scene.REMOVED): [("before", 64, 48)],
        name(scene.ADDED): [("after", 60, 40)],
    }
    for preview in previews.values():
        for frame in preview.frames:
            assert frame.source is not None
            assert frame.source.startswith("data:image/jpeg;base64,/9j/")
            assert frame.missing is None


def test_thumbnail_comes_from_either_version_if_pixels_are_equal(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion], tmp_path: Path
) -> None:
    (tmp_path / "new" / "download" / "zips" / "all.zip").unlink()
    previews = previews_by_name(difference, versions)
    missing = f"zips/all.zip of {tmp_path}/new/validate is not on this machine."
    assert {one: [frame.missing for frame in preview.frames] for one, preview in previews.items()} == {
        scene.QUOTED: [None],
        name(scene.OTHER_PIXELS): [None, missing],
        name(scene.MOVED): [None],
        name(scene.REMOVED): [None],
        name(scene.ADDED): [missing],
    }
    assert previews[name(scene.ADDED)].frames[0].source is None


def test_omitted_boxes_are_counted(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BOXES", 2)
    edited = previews_by_name(difference, versions)[scene.QUOTED]
    assert [change.kinds for change in edited.boxes] == [["box moved"], ["box class"]]
    assert edited.boxes_omitted == 4


def test_images_of_every_kind_are_selected() -> None:
    frequent, occasional, rare = (np.isin(np.arange(1000), where) for where in (range(900), range(880, 960), [5, 999]))
    selected = select_images({"frequent": frequent, "occasional": occasional, "rare": rare}, 8)
    assert len(selected) == len(set(selected.tolist())) == 8
    assert rare[selected].sum() == 2
    assert occasional[selected].sum() >= 3
    assert (selected[frequent[selected] & ~occasional[selected] & ~rare[selected]] > 400).any()
    assert select_images({"frequent": frequent, "rare": rare}, 0).tolist() == []
    assert select_images({"rare": rare, "none": np.zeros(1000, bool)}, 8).tolist() == [5, 999]
    assert select_images({}, 8).tolist() == []
