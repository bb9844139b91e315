"""Real COCO and MNIST images, and snack-like ones, through the whole line."""

import json
from pathlib import Path

import pytest

from tests.support.tiny_project import PROJECT, make_tiny_project, run_dvc

REAL_DATA = PROJECT.parent / "shared" / "data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real images: ../shared/data is not there"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_project(tmp_path_factory.mktemp("real"))


@pytest.mark.parametrize(
    ("dataset", "folder", "systems", "images"),
    [
        ("coco", "coco", ("coco_yolo", "coco_retinanet"), 108),
        ("digits", "mnist", ("digits_localizer",), 2000),
        ("snacks", "snacks", ("snack_localizer",), 25),
    ],
)
def test_pipeline_trains_and_evaluates_on_real_images(
    project: Path, dataset: str, folder: str, systems: tuple[str, ...], images: int
) -> None:
    words = ["-S", f"datasets.{dataset}.source={REAL_DATA / folder}"]
    words += [word for system in systems for word in ("-S", f"systems.{system}.train.batch_size=32")]
    run_dvc(project, "exp", "run", *words, *(f"evaluate@{system}" for system in systems))
    checked = json.loads((project / "reports" / dataset / "validate.json").read_text())
    scores = {system: json.loads((project / "reports" / system / "metrics.json").read_text()) for system in systems}
    assert {metrics["images"] for metrics in scores.values()} == {images}
    assert checked["quarantined"] == 0
    if dataset == "coco":
        assert (checked["images"], checked["boxes"], checked["crowd_boxes"]) == (323, 2695, 28)
        assert checked["images_without_boxes"] == 4
        # One box per cell of a 6 x 6 grid loses about 40 % of COCO's boxes; suppression those that overlap too much.
        # The small project has the grid detector encode crowd regions and RetinaNet ignore them.
        grid, retinanet = (scores[system] for system in systems)
        assert (grid["boxes"], retinanet["boxes"]) == (877, 868)
        assert 0.3 < grid["unencodable_boxes"] / grid["boxes"] < 0.5
        assert retinanet["unencodable_boxes"] / retinanet["boxes"] < 0.1
    elif dataset == "snacks":
        assert (checked["images"], checked["boxes"]) == (105, 274)
        assert scores["snack_localizer"]["boxes"] == 80
        assert scores["snack_localizer"]["oracle_mean_iou"] < 0.6  # an image has several boxes and one prediction
    else:
        assert scores["digits_localizer"]["baseline_mean_iou"] == pytest.approx(0.099, abs=0.002)
