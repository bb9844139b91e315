"""targets: what the model is to answer for each image, and the best score that such answers can reach."""

import logging
from pathlib import Path

from pipeline.core.atomic_files import atomic_directory, write_json
from pipeline.core.config import load_params, parse_config
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.oracle import count_unencodable_boxes, oracle_score
from pipeline.evaluation.sample_grid import write_samples
from pipeline.evaluation.scores import task
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards
from pipeline.stages.runner import run_stage
from pipeline.systems import interfaces as verbs
from pipeline.systems.target_writer import labels_of, write_targets

logger = logging.getLogger(__name__)


def targets(system: str, validated: Path, pack: Path, out: Path, report: Path, samples: Path) -> None:
    """Encode the boxes of `validated` placed as in `pack`; write the arrays to `out` and their audit to `report`.

    `samples` becomes a PNG: training images as the network sees them, with their boxes.
    """
    chosen = load_params().system(system)
    section = parse_config(chosen.targets, verbs.sections(chosen.module)[0], f"systems.{system}.targets")
    split = parse_config(chosen.evaluate, EvaluateConfig, f"systems.{system}.evaluate").split
    codec, scores = verbs.codec(chosen.module), task(chosen.task)
    tables = Tables.read(validated)
    labels = labels_of(tables.categories, codec)
    findings: dict[str, float] = {}
    with atomic_directory(out) as folder:
        labels.write(folder)
        for name in ("train", split):
            transforms = read_transforms(pack, name)
            training = name == "train"
            encoded = write_targets(folder, name, tables, transforms, codec, section, labels, training=training)
            shards = Shards(folder, name)
            lost = count_unencodable_boxes(shards, encoded.boxes, codec, len(labels.names))
            counts = {**vars(encoded), "unencodable_boxes": lost}
            findings |= {f"{name}_{key}": value for key, value in counts.items()}
        best = oracle_score(shards, tables.of_images(shards.image_ids), transforms, codec, labels, scores)
        findings[f"oracle_{scores.PRIMARY_METRIC}"] = best[scores.PRIMARY_METRIC]
    write_samples(samples, pack, tables)
    write_json(report, findings)
    logger.info("encoded %s: %s", system, ", ".join(f"{key} {value:g}" for key, value in findings.items()))


if __name__ == "__main__":
    run_stage(targets)
