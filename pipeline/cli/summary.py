"""The closing table of a run, one line per system: python -m pipeline.cli.summary"""

import sys
from pathlib import Path

from pipeline.core.atomic_files import read_json
from pipeline.core.config import Params, load_params
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import format_table
from pipeline.evaluation.scores import task

REPORTS = Path("reports")
HEADER = ("system", "score", "baseline", "oracle", "seconds", "where to look")


def summary(loaded: Params, reports: Path) -> str:
    """Score, baseline and ceiling of each system, the seconds of its training, and the folder of its report.

    Systems that have not been evaluated say so; nothing is hidden.
    """
    rows = [HEADER, *(_row(name, task(system.task).PRIMARY_METRIC, reports) for name, system in loaded.systems.items())]
    return "\n".join(format_table(rows, "<" * len(HEADER), ruled=True))


def _row(system: str, headline: str, reports: Path) -> tuple[str, ...]:
    folder = reports / system
    try:
        metrics, took = read_json(folder / "metrics.json"), read_json(folder / "training" / "train.json")
    except FileNotFoundError:
        return system, "not evaluated yet", "", "", "", f"dvc repro evaluate@{system}"
    scores = [metrics[headline], metrics[f"baseline_{headline}"], metrics[f"oracle_{headline}"]]
    first, *others = (f"{score:.3f}" for score in scores)
    return system, f"{headline} {first}", *others, f"{took['seconds']:.0f}", f"{folder}/"


if __name__ == "__main__":
    try:
        sys.stdout.write(summary(load_params(), REPORTS) + "\n")
    except BoxlineError as error:
        sys.exit(f"Error: {error}")
