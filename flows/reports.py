"""Artifacts on the page of a run: scores, predictions, findings of validation, links to reports; and its tags."""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.progress import artifact_key

REPORTS = Path("reports")
MAX_IMAGE_SIDE = 900
"""Pixels. The server stores artifacts in its database; the report has the full image."""


def publish_artifacts(folder: Path, stage: str, previous_metrics: Mapping[str, Any]) -> None:
    """Create the artifacts of a stage that is up to date.

    Args:
        folder: the project.
        stage: its name, such as evaluate@coco_yolo.
        previous_metrics: contents of the metrics files of the last recorded run, by path.

    """
    kind, _, subject = stage.partition("@")
    if kind == "evaluate":
        _publish_metrics(folder, subject, previous_metrics)
        _publish_predictions(folder, subject)
        _publish_link(folder / REPORTS / subject, subject)
    elif kind == "validate":
        _publish_validation(folder, subject)


def publish_failure_artifacts(folder: Path, stage: str) -> None:
    """Create the artifacts that explain why a stage failed, if it has any."""
    kind, _, subject = stage.partition("@")
    if kind == "validate":
        _publish_validation(folder, subject)


def metric_rows(metrics: Mapping[str, Any], previous: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a table row for each metric that has a baseline.

    >>> metric_rows({"AP": 0.25, "baseline_AP": 0.0, "oracle_AP": 0.9, "images": 4}, {"AP": 0.2})
    [{'metric': 'AP', 'score': 0.25, 'baseline': 0.0, 'oracle': 0.9, 'last run': 0.2, 'change': 0.05}]
    """
    return [
        {
            "metric": name,
            "score": score,
            "baseline": metrics[f"baseline_{name}"],
            "oracle": metrics.get(f"oracle_{name}"),
            "last run": previous.get(name),
            "change": _difference(score, previous.get(name)),
        }
        for name, score in metrics.items()
        if f"baseline_{name}" in metrics
    ]


def _difference(score: object, previous: object) -> float | None:
    if isinstance(score, int | float) and isinstance(previous, int | float):
        return round(score - previous, 6)
    return None


def _publish_metrics(folder: Path, system: str, previous_metrics: Mapping[str, Any]) -> None:
    path = REPORTS / system / "metrics.json"
    metrics = json.loads((folder / path).read_text(encoding="utf-8"))
    rows = metric_rows(metrics, previous_metrics.get(path.as_posix(), {}))
    create_table_artifact(rows, key=artifact_key("metrics", system), description=f"Scores of {system} and baselines")


def _publish_predictions(folder: Path, system: str) -> None:
    path = folder / REPORTS / system / "plots" / "predictions.png"
    description = f"Predictions of {system} and ground truth"
    create_image_artifact(_data_url(path), key=artifact_key("predictions", system), description=description)


def _publish_validation(folder: Path, dataset: str) -> None:
    summary = folder / REPORTS / dataset / "validate.md"
    if summary.exists():  # a stage may fail before it writes its report
        text = summary.read_text(encoding="utf-8")
        key = artifact_key("validate", dataset)
        create_markdown_artifact(text, key=key, description=f"Validation of {dataset}")
        _publish_link(summary.with_suffix(".html"), dataset)


def _publish_link(path: Path, subject: str) -> None:
    create_link_artifact(
        path.resolve().as_uri(),
        key=artifact_key("report", subject),
        link_text=str(path),
        description="Full report, on the worker's disk",
    )


def _data_url(image_file: Path) -> str:
    """Return the image as a small JPEG in a data URL, visible without access to the worker's disk."""
    with Image.open(image_file) as image:
        thumbnail = image.convert("RGB")
    thumbnail.thumbnail((MAX_IMAGE_SIDE, MAX_IMAGE_SIDE))
    jpeg = io.BytesIO()
    thumbnail.save(jpeg, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")


def run_tags(stages: Iterable[str], datasets: Iterable[str], commit: str | None) -> list[str]:
    """Return the tags of a run: its datasets, its systems and the commit.

    >>> run_tags(["tables@coco", "train@coco_yolo"], ["coco", "digits"], "abc1234")
    ['commit:abc1234', 'dataset:coco', 'system:coco_yolo']
    """
    dataset_names = set(datasets)
    subjects = {stage.partition("@")[2] for stage in stages} - {""}
    tags = [f"{'dataset' if subject in dataset_names else 'system'}:{subject}" for subject in subjects]
    return sorted([*tags, *([f"commit:{commit}"] if commit else [])])
