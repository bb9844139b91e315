"""What a run made, on its page: scores beside their baselines, pictures, findings in the data, where all of it lies."""

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

from flows.progress import key_of

REPORTS = Path("reports")
MAX_PICTURE_SIDE = 900
"""Pixels. The server keeps artifacts in its database, and the whole picture is in the report."""


def publish(folder: Path, stage: str, before: Mapping[str, Any]) -> None:
    """Artifacts of a stage that is up to date. `before` are the metrics of the last recorded run, by path."""
    kind, _, subject = stage.partition("@")
    if kind == "evaluate":
        _metrics(folder, subject, before)
        _picture(folder, subject)
        _link(folder / REPORTS / subject, subject)
    elif kind == "validate":
        _validation(folder, subject)


def publish_failure(folder: Path, stage: str) -> None:
    """What a stage that failed leaves for whoever asks why: the findings in the data."""
    kind, _, subject = stage.partition("@")
    if kind == "validate":
        _validation(folder, subject)


def metric_rows(metrics: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each score that has a baseline.

    >>> metric_rows({"AP": 0.25, "baseline_AP": 0.0, "oracle_AP": 0.9, "images": 4}, {"AP": 0.2})
    [{'metric': 'AP', 'score': 0.25, 'baseline': 0.0, 'oracle': 0.9, 'last run': 0.2, 'change': 0.05}]
    """
    rows = []
    for name, score in metrics.items():
        if f"baseline_{name}" in metrics:
            last = before.get(name)
            change = (
                round(score - last, 6) if isinstance(last, int | float) and isinstance(score, int | float) else None
            )
            baseline, ceiling = metrics[f"baseline_{name}"], metrics.get(f"oracle_{name}")
            rows.append(
                {
                    "metric": name,
                    "score": score,
                    "baseline": baseline,
                    "oracle": ceiling,
                    "last run": last,
                    "change": change,
                }
            )
    return rows


def _metrics(folder: Path, system: str, before: Mapping[str, Any]) -> None:
    path = REPORTS / system / "metrics.json"
    metrics = json.loads((folder / path).read_text(encoding="utf-8"))
    rows = metric_rows(metrics, before.get(path.as_posix(), {}))
    create_table_artifact(rows, key=key_of("metrics", system), description=f"Scores of {system} beside their baselines")


def _picture(folder: Path, system: str) -> None:
    path = folder / REPORTS / system / "pictures" / "predictions.png"
    create_image_artifact(
        _as_address(path), key=key_of("predictions", system), description=f"Predictions of {system} over the truth"
    )


def _validation(folder: Path, dataset: str) -> None:
    summary = folder / REPORTS / dataset / "validate.md"
    if summary.exists():  # a stage may fail before it has anything to say
        text = summary.read_text(encoding="utf-8")
        create_markdown_artifact(text, key=key_of("validate", dataset), description=f"The data of {dataset}")
        _link(summary.with_suffix(".html"), dataset)


def _as_address(path: Path) -> str:
    """A small JPEG of the picture inside an address, so that whoever sees the page needs no access to the workspace."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((MAX_PICTURE_SIDE, MAX_PICTURE_SIDE))
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")


def _link(path: Path, subject: str) -> None:
    create_link_artifact(
        path.resolve().as_uri(),
        key=key_of("report", subject),
        link_text=str(path),
        description="The whole report, on the disk of the worker",
    )


def tags_of(stages: Iterable[str], datasets: Iterable[str], commit: str | None) -> list[str]:
    """Datasets, systems and commit of a run.

    >>> tags_of(["tables@coco", "train@coco_yolo"], ["coco", "digits"], "abc1234")
    ['commit:abc1234', 'dataset:coco', 'system:coco_yolo']
    """
    known = set(datasets)
    subjects = {name.partition("@")[2] for name in stages} - {""}
    tags = [f"{'dataset' if subject in known else 'system'}:{subject}" for subject in sorted(subjects)]
    return sorted([*tags, *([f"commit:{commit}"] if commit else [])])
