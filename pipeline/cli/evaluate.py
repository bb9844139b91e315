"""boxline evaluate: scores of an evaluation, computed again by an independent implementation."""

import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.core import schema
from pipeline.core.config import load_params, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import format_score, format_table, pluralize
from pipeline.core.parquet import read_table
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.task import get_task
from pipeline.systems.common.registry import get_system

DATA = Path("data")
TOLERANCE = 1e-12
"""The largest difference between two implementations that counts as rounding."""

ALIGNMENT = "<>>>"


def evaluate(system: str, /, *, verify: bool = False) -> int:
    """Verify the scores of an evaluated system with pycocotools, the reference implementation.

    Reads what the stage `evaluate` has written: the detections in data/SYSTEM/evaluate and the images that were scored.
    For a detector, hotcoco and pycocotools compute average precision. For a localizer, the IoU of each box is computed
    by Boxline and by pycocotools.mask; its class accuracy needs no library. The exit code is 1 if a score differs by
    more than 1e-12. No model runs; `dvc repro evaluate@SYSTEM` evaluates.

    Args:
        system: key of an evaluated system in params.yaml.
        verify: compare the two implementations.

    """
    if not verify:
        raise BoxlineError(f"Add --verify to verify the scores. `dvc repro evaluate@{system}` evaluates.")
    section = load_params().system(system)
    config = parse_config(section.evaluate, EvaluateConfig, f"systems.{system}.evaluate")
    task_name = get_system(section.module).target_codec().task
    usual, reference = get_task(task_name, "hotcoco"), get_task(task_name, "pycocotools")
    evaluated = DATA / system / "evaluate"
    detections = read_table(evaluated / "detections.parquet", schema.DETECTIONS)
    image_ids = read_table(evaluated / "images.parquet", usual.image_schema)["image_id"].to_numpy()
    ground_truth = Tables.read(DATA / section.dataset / "validate").split(config.split).of_images(image_ids)
    _require_images(ground_truth, len(image_ids), config.split, system)
    names = ("hotcoco" if task_name == "detection" else "Boxline", "pycocotools")
    scores = usual.score(ground_truth, detections), reference.score(ground_truth, detections)
    differences = {name: difference(value, scores[1][name]) for name, value in scores[0].items()}
    counted = pluralize(len(image_ids), "image", "images"), pluralize(detections.num_rows, "detection", "detections")
    sys.stdout.write(f"{system}: {counted[0]} of {config.split}, {counted[1]}\n\n")
    sys.stdout.write("\n".join(_table(names, *scores, differences)) + "\n\n")
    largest = max(differences.values())
    verdict = "the scores agree" if largest <= TOLERANCE else "THE SCORES DIFFER"
    sys.stdout.write(f"Largest difference: {largest:.3g}, allowed {TOLERANCE:g}: {verdict}.\n")
    return 0 if largest <= TOLERANCE else 1


def difference(one: float | None, other: float | None) -> float:
    """The difference of two scores; infinite if only one of them is undefined.

    >>> difference(0.5, 0.25), difference(None, None), difference(None, 0.0)
    (0.25, 0.0, inf)
    """
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def _require_images(ground_truth: Tables, num_images: int, split: str, system: str) -> None:
    if ground_truth.images.num_rows != num_images:
        raise BoxlineError(
            f"{DATA / system}/evaluate has {num_images} images, of which split {split!r} of the validated data holds "
            f"{ground_truth.images.num_rows}: the data have changed. `dvc repro evaluate@{system}` evaluates again."
        )


def _table(
    names: tuple[str, str],
    usual: Mapping[str, float | None],
    reference: Mapping[str, float | None],
    differences: Mapping[str, float],
) -> list[str]:
    """One line per score."""
    rows = [
        (name, format_score(value, ".12f"), format_score(reference[name], ".12f"), f"{differences[name]:.3g}")
        for name, value in usual.items()
    ]
    return format_table([("score", *names, "difference"), *rows], ALIGNMENT, ruled=True)
