"""evaluate: what the trained system finds in images it never saw, scores beside baseline and ceiling, errors."""

import logging
from pathlib import Path

import pyarrow as pa

from pipeline.core import schema
from pipeline.core.atomic_files import atomic_directory, read_json, write_json
from pipeline.core.config import load_params, parse_config
from pipeline.core.parquet import write_table
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.detections import to_original
from pipeline.evaluation.error_analysis import task_errors
from pipeline.evaluation.plots import write_curves, write_error_pictures, write_pictures
from pipeline.evaluation.scores import task
from pipeline.inference.predictor import load_model, predict
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards
from pipeline.stages.runner import run_stage
from pipeline.systems import interfaces as verbs
from pipeline.systems.labels import Labels

logger = logging.getLogger(__name__)


def evaluate(
    system: str,
    validated: Path,
    pack: Path,
    targets: Path,
    audit: Path,
    model: Path,
    curves: Path,
    out: Path,
    metrics: Path,
    errors: Path,
    pictures: Path,
) -> None:
    """Score `model` on the split to evaluate; write detections to `out`, scores to `metrics`, and `errors` by kind.

    The `pictures` show what it found, its errors, and the `curves` of its training.
    """
    chosen = load_params().system(system)
    section = parse_config(chosen.evaluate, EvaluateConfig, f"systems.{system}.evaluate")
    codec, scoring = verbs.codec(chosen.module), task(chosen.task)
    tables = Tables.read(validated)
    labels = Labels.read(targets)
    images = Shards(pack, section.split)
    transforms = read_transforms(pack, section.split)
    asked = Shards(targets, section.split).image_ids
    truth = tables.of_images(asked)
    trained = load_model(model, chosen.module)
    found = [schema.DETECTIONS.empty_table()]
    for image_ids, outputs in predict(trained, images, asked):
        found.append(to_original(codec.decode(outputs), image_ids, transforms, labels.category_ids))
    detections = pa.concat_tables(found)
    scores = scoring.score(truth, detections)
    baseline = scoring.score(truth, scoring.constant_baseline(tables.split("train"), truth))
    analysis = task_errors(chosen.task).analyze_errors(truth, detections)
    encoding = read_json(audit)
    headline = scoring.PRIMARY_METRIC
    with atomic_directory(out) as tables_folder, atomic_directory(pictures) as pictures_folder:
        write_table(tables_folder / "detections.parquet", detections, schema.DETECTIONS)
        write_pictures(
            pictures_folder, chosen.module, chosen.task, section, trained, images, truth, transforms, codec, labels
        )
        write_error_pictures(pictures_folder, chosen.task, analysis, detections, images, truth, transforms, labels)
        write_curves(pictures_folder, curves)
    write_json(errors, analysis.report)
    write_json(
        metrics,
        {
            **scores,
            f"baseline_{headline}": baseline[headline],
            f"oracle_{headline}": encoding[f"oracle_{headline}"],
            "unencodable_boxes": encoding[f"{section.split}_unencodable_boxes"],
            "boxes": encoding[f"{section.split}_boxes"],
            "images": len(asked),
        },
    )
    logger.info("evaluated %s: %s", system, ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))


if __name__ == "__main__":
    run_stage(evaluate)
