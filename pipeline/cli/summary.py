"""boxline summary: the scores of the published systems and of their variants."""

import sys
from pathlib import Path
from typing import NamedTuple

from pipeline.core.atomic_files import read_json
from pipeline.core.config import Params, load_params
from pipeline.core.formatting import format_table
from pipeline.evaluation.task import get_task
from pipeline.systems.common.registry import get_system

REPORTS = Path("reports")
HEADER = ("system", "metric", "score", "variant", "baseline", "upper bound", "seconds", "where to look")
ALIGNMENT = "<<>>>>><"
NOT_EVALUATED = "not evaluated"


class _Result(NamedTuple):
    """Cells of one evaluated system."""

    score: str
    baseline: str
    upper_bound: str
    seconds: str


def summary() -> int:
    """Compare the scores of all systems and their variants.

    One line per published system and variant. The variant is a stronger system for the same data, which names the
    published one under `variant_of` in params.yaml. The baseline predicts the same box for every image; the upper bound
    is the score of perfect predictions after encoding and decoding; seconds are those of the training. Two values are
    those of the system and of its variant. Systems that were not evaluated are listed as such.
    """
    sys.stdout.write("\n".join(summarize(load_params(), REPORTS)) + "\n")
    return 0


def summarize(params: Params, reports: Path) -> list[str]:
    """The lines of the table.

    Args:
        params: names the systems and their variants.
        reports: folder with metrics.json and training/train.json of each system.

    """
    rows = []
    for name, system in params.systems.items():
        variants: list[str | None] = [
            other for other, candidate in params.systems.items() if candidate.variant_of == name
        ]
        if variants or system.variant_of is None:
            rows += [_row(params, reports, name, variant) for variant in variants or [None]]
    return format_table([HEADER, *rows], ALIGNMENT, ruled=True)


def _row(params: Params, reports: Path, published: str, variant: str | None) -> tuple[str, ...]:
    metric = get_task(get_system(params.systems[published].module).target_codec().task).primary_metric
    names = [published] if variant is None else [published, variant]
    results = [_read_result(reports / name, metric) for name in names]
    evaluated = [result for result in results if result is not None]
    scores = [NOT_EVALUATED if result is None else result.score for result in results]
    places = [
        f"dvc repro evaluate@{name}" if result is None else f"{reports / name}/"
        for name, result in zip(names, results, strict=True)
    ]
    return (
        published,
        metric,
        scores[0],
        scores[1] if variant is not None else "",
        " / ".join(dict.fromkeys(result.baseline for result in evaluated)),
        " / ".join(result.upper_bound for result in evaluated),
        " / ".join("-" if result is None else result.seconds for result in results) if evaluated else "",
        ", ".join(places),
    )


def _read_result(folder: Path, metric: str) -> _Result | None:
    try:
        metrics, training = read_json(folder / "metrics.json"), read_json(folder / "training" / "train.json")
    except FileNotFoundError:
        return None
    return _Result(
        _format(metrics.get(metric), ".3f"),
        _format(metrics.get(f"baseline_{metric}"), ".3f"),
        _format(metrics.get(f"oracle_{metric}"), ".3f"),
        _format(training.get("seconds"), ".0f"),
    )


def _format(number: float | None, form: str) -> str:
    """A number, or a dash if it is undefined, as a score over no boxes, or is missing in a report."""
    return "-" if number is None else f"{number:{form}}"
