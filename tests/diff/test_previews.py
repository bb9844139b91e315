from pathlib import Path

import numpy as np
import pytest

from pipeline.diff import pictures as module
from pipeline.diff.difference import Difference, Side, compare
from pipeline.diff.previews import BoxChange, Outline, Picture, choose, draw, kinds_of_images
from pipeline.diff.revisions import DatasetVersion
from pipeline.diff.thumbnails import Pixels
from tests.support import diff_scene as scene

CAT, DOG, OWL = (
    0,
    1,
    2,
)  # places in the list of classes, which is in order of their names: "cat" is renamed to "<script>..."


@pytest.fixture
def versions(tmp_path: Path) -> tuple[DatasetVersion, DatasetVersion]:
    return scene.versions(tmp_path)


@pytest.fixture
def difference(versions: tuple[DatasetVersion, DatasetVersion]) -> Difference:
    return compare(Side.read(versions[0], "old"), Side.read(versions[1], "new"))


def drawn(difference: Difference, versions: tuple[DatasetVersion, DatasetVersion]) -> dict[str, Picture]:
    """All that changed, by the last word of the file name."""
    places = choose(kinds_of_images(difference), 99)
    pictures = draw(difference, places, Pixels(versions[0], "old"), Pixels(versions[1], "new"))
    return {(one.after or one.before or ("", ""))[1]: one for one in pictures}


def name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def test_each_image_is_filed_under_what_happened_to_it_and_its_boxes(difference: Difference) -> None:
    before, after = (one.images["image_id"].to_pylist() for one in (difference.before, difference.after))
    pairs = zip(difference.images.before, difference.images.after, strict=True)
    ids = np.array([after[row_after] if row_after >= 0 else before[row_before] for row_before, row_after in pairs])
    found = {kind: set(ids[where].tolist()) for kind, where in kinds_of_images(difference).items()}
    assert {kind: images for kind, images in found.items() if images} == {
        "image came": {scene.CAME},
        "image went": {scene.WENT},
        "image pixels": {scene.OTHER_PIXELS},
        "image size": {scene.OTHER_PIXELS},
        "image split": {scene.MOVED},
        "box came": {scene.EDITED},  # and not the image that came with all its boxes
        "box went": {scene.EDITED},
        "box moved": {scene.EDITED},
        "box label": {scene.EDITED},
        "box crowd": {scene.EDITED},
    }


def test_boxes_are_fractions_of_their_own_image_and_the_changed_ones_come_first(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion]
) -> None:
    edited = drawn(difference, versions)[scene.QUOTED]
    assert (edited.before, edited.after) == (("train", scene.QUOTED), ("train", scene.QUOTED))
    assert edited.kinds == ["box came", "box went", "box moved", "box label", "box crowd"]
    assert edited.boxes == [
        BoxChange(
            ["box moved"], Outline(0.25, 0.25, 0.5625, 0.5, CAT, False), Outline(0.25, 0.25, 0.5, 0.5, CAT, False), 0.8
        ),
        BoxChange(["box label"], Outline(0, 0.5, 0.25, 1, DOG, False), Outline(0, 0.5, 0.25, 1, CAT, False), None),
        BoxChange(
            ["box crowd"], Outline(0.625, 0.75, 0.75, 1, OWL, False), Outline(0.625, 0.75, 0.75, 1, OWL, True), None
        ),
        BoxChange(["box went"], Outline(0.5, 0.75, 0.5625, 1, DOG, False), None, None),
        BoxChange(["box came"], None, Outline(0.125, 0.75, 0.1875, 1, DOG, False), None),
        BoxChange([], Outline(0.75, 0, 1, 0.125, DOG, False), Outline(0.75, 0, 1, 0.125, DOG, False), None),
    ]
    assert edited.boxes_left_out == 0
    other = drawn(difference, versions)[name(scene.OTHER_PIXELS)]
    [same] = other.boxes
    assert same == BoxChange(
        [], Outline(0.25, 0.25, 0.75, 0.75, DOG, False), Outline(0.16667, 0.375, 0.5, 1.125, DOG, False), None
    )


def test_an_image_has_a_picture_per_version_where_its_pixels_differ(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion]
) -> None:
    found = drawn(difference, versions)
    sides = {
        one: [(frame.side, frame.width, frame.height) for frame in picture.frames] for one, picture in found.items()
    }
    assert sides == {
        scene.QUOTED: [("both", 64, 48)],
        name(scene.OTHER_PIXELS): [("before", 40, 60), ("after", 60, 40)],
        name(scene.MOVED): [("both", 64, 48)],
        name(scene.WENT): [("before", 64, 48)],
        name(scene.CAME): [("after", 60, 40)],
    }
    for picture in found.values():
        for frame in picture.frames:
            assert frame.source is not None
            assert frame.source.startswith("data:image/jpeg;base64,/9j/")
            assert frame.missing is None


def test_pixels_that_both_versions_have_are_taken_from_either(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion], tmp_path: Path
) -> None:
    (tmp_path / "new" / "download" / "zips" / "all.zip").unlink()
    found = drawn(difference, versions)
    missing = f"zips/all.zip of {tmp_path}/new/validate is not on this machine."
    assert {one: [frame.missing for frame in picture.frames] for one, picture in found.items()} == {
        scene.QUOTED: [None],
        name(scene.OTHER_PIXELS): [None, missing],
        name(scene.MOVED): [None],
        name(scene.WENT): [None],
        name(scene.CAME): [missing],
    }
    assert found[name(scene.CAME)].frames[0].source is None


def test_boxes_beyond_a_bound_are_counted(
    difference: Difference, versions: tuple[DatasetVersion, DatasetVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NUM_BOXES", 2)
    edited = drawn(difference, versions)[scene.QUOTED]
    assert [change.kinds for change in edited.boxes] == [["box moved"], ["box label"]]
    assert edited.boxes_left_out == 4


def test_images_are_chosen_from_every_kind() -> None:
    often, sometimes, seldom = (np.isin(np.arange(1000), where) for where in (range(900), range(880, 960), [5, 999]))
    chosen = choose({"often": often, "sometimes": sometimes, "seldom": seldom}, 8)
    assert len(chosen) == len(set(chosen.tolist())) == 8
    assert seldom[chosen].sum() == 2
    assert sometimes[chosen].sum() >= 3
    assert (chosen[often[chosen] & ~sometimes[chosen] & ~seldom[chosen]] > 400).any()
    assert choose({"often": often, "seldom": seldom}, 0).tolist() == []
    assert choose({"seldom": seldom, "never": np.zeros(1000, bool)}, 8).tolist() == [5, 999]
    assert choose({}, 8).tolist() == []
