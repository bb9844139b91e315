"""The content of the progress page, as an HTML parser reads it."""

import base64
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.colors import class_color
from pipeline.training.progress_page import (
    Box,
    Epoch,
    ImagePredictions,
    ground_truth_boxes,
    png_data_url,
    write_progress_page,
)
from tests.support import progress_page_scene as scene
from tests.support.pages import Parts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "page.html"
    write_progress_page(written, scene.TITLE, scene.images(), scene.NAMES, scene.TRUTH, scene.EPOCHS)
    return written


def test_names_and_titles_are_escaped(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    parts = Parts(text)
    assert text.count("</script") == 2
    assert {"b", "i"} & {tag for tag, _ in parts.tags} == set()
    assert ("title", scene.TITLE) in parts.texts
    assert parts.data()["title"] == scene.TITLE
    assert [one["name"] for one in parts.data()["classes"]] == ["cat", "</script><b>dog", "label 4"]


def test_template_syntax_in_names_is_not_evaluated(tmp_path: Path) -> None:
    write_progress_page(
        tmp_path / "page.html", "{{data}}", scene.images(), ["{{title}}"] * 5, scene.TRUTH, scene.EPOCHS
    )
    parts = Parts((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert parts.data()["title"] == "{{data}}"
    assert {one["name"] for one in parts.data()["classes"]} == {"{{title}}"}


def test_page_lists_occurring_classes_in_the_colors_of_the_plots(path: Path) -> None:
    classes = Parts(path.read_text(encoding="utf-8")).data()["classes"]
    assert [one["label"] for one in classes] == [1, 2, 4]
    for one in classes:
        shown = [int(one["color"][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        assert shown == pytest.approx(class_color(one["label"]), abs=0.5 / 255)


def test_text_on_class_color_has_sufficient_contrast(tmp_path: Path) -> None:
    """WCAG requires a contrast of 4.5 for small text."""
    boxes = [[Box(0, 0, 1, 1, label) for label in range(90)]]
    write_progress_page(
        tmp_path / "page.html", "", scene.images()[:1], ["x"] * 90, boxes, [Epoch(None, {}, [ImagePredictions([])])]
    )
    for one in Parts((tmp_path / "page.html").read_text(encoding="utf-8")).data()["classes"]:
        channels = [int(one["color"][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
        luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
        contrast = (luminance + 0.05) / 0.05 if one["text_color"] == "#000" else 1.05 / (luminance + 0.05)
        assert contrast > 4.5, one


def test_page_has_all_boxes_and_metrics(path: Path) -> None:
    data = Parts(path.read_text(encoding="utf-8")).data()
    assert data["ground_truth"][1][0] == [0.3, 0.05, 0.8, 0.25, 2, None, None]
    assert data["epochs"][1]["predictions"][0]["boxes"] == [[0.15, 0.25, 0.5, 0.6, 1, 0.87, 0.71]]
    assert [epoch["phase"] for epoch in data["epochs"]] == [None, "head", "head", "all layers"]
    assert data["epochs"][2]["logs"] == {"loss": 1.75, "val_loss": None, "accuracy": 0.5}
    assert (data["epochs"][3]["predictions"][0]["omitted"], data["epochs"][2]["predictions"][1]["invalid"]) == (7, 1)


def test_page_is_reproducible_and_leaves_no_temporary_file(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    write_progress_page(path, scene.TITLE, scene.images(), scene.NAMES, scene.TRUTH, scene.EPOCHS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_an_error_and_the_previous_page_remains(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_progress_page(path, "", scene.images(), scene.NAMES, scene.TRUTH, [Epoch(None, {"loss": math.nan}, [])])
    assert path.read_bytes() == before


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_embedded_losslessly(channels: int) -> None:
    model_input = scene.model_inputs()[0][..., :channels]
    kind, _, text = png_data_url(model_input).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        assert picture.mode == {1: "L", 3: "RGB"}[channels]
        np.testing.assert_array_equal(np.asarray(picture).reshape(model_input.shape), model_input)


def test_ground_truth_boxes_have_edges_and_no_score() -> None:
    labeled_boxes = LabeledBoxes(np.array([[0.125, 0.5, 0.25, 0.375], [1 / 3, 0, 0.5, 1]]), np.array([3, 1]))
    assert ground_truth_boxes(labeled_boxes) == [Box(0.125, 0.5, 0.375, 0.875, 3), Box(0.33333, 0.0, 0.83333, 1.0, 1)]
