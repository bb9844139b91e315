"""targets: encode boxes as training targets, and report what the encoding loses."""

import logging
from pathlib import Path

from pipeline.core.atomic_files import atomic_directory, write_json
from pipeline.core.config import load_params, parse_config
from pipeline.core.formatting import format_score
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.oracle import count_unencodable_boxes, oracle_scores
from pipeline.evaluation.sample_grid import write_samples, write_target_plot
from pipeline.evaluation.task import get_task
from pipeline.packing.index import read_transforms
from pipeline.packing.shards import Shards
from pipeline.stages.runner import run_stage
from pipeline.systems.common.registry import get_system
from pipeline.targets.writer import labels_of, write_targets

logger = logging.getLogger(__name__)


def targets(system: str, validated: Path, pack: Path, out: Path, report: Path, samples: Path, plot: Path) -> None:
    """Encode the training split and the scored split.

    Args:
        system: key in params.yaml.
        validated: folder of the validated tables.
        pack: folder of the packed images.
        out: folder to write: shards of targets and labels.json.
        report: JSON file to write: counts per split, and the oracle's primary metric.
        samples: PNG file to write: packed training images with their boxes.
        plot: PNG file to write: packed training images with what the targets hold.

    """
    params = load_params().system(system)
    parts = get_system(params.module)
    config = parse_config(params.targets, parts.targets_config, f"systems.{system}.targets")
    scored_split = parse_config(params.evaluate, EvaluateConfig, f"systems.{system}.evaluate").split
    codec = parts.target_codec()
    task = get_task(codec.task)
    tables = Tables.read(validated)
    labels = labels_of(tables.categories, codec)
    content: dict[str, float | None] = {}
    with atomic_directory(out) as folder:
        labels.write(folder)
        for split in ("train", scored_split):
            transforms = read_transforms(pack, split)
            encoded = write_targets(folder, split, tables, transforms, codec, config, labels, training=split == "train")
            shards = Shards(folder, split)
            unencodable = count_unencodable_boxes(shards, encoded.boxes, codec, labels)
            counts = {**vars(encoded), "unencodable_boxes": unencodable}
            content |= {f"{split}_{name}": count for name, count in counts.items()}
        scores = oracle_scores(shards, tables.split(scored_split), transforms, codec, labels, task)
        content[f"oracle_{task.primary_metric}"] = scores[task.primary_metric]
    write_samples(samples, pack, tables)
    write_target_plot(plot, pack, Shards(out, "train"), codec, labels, parts.target_drawer())
    write_json(report, content)
    text = ", ".join(f"{name} {format_score(value, 'g')}" for name, value in content.items())
    logger.info("encoded %s: %s", system, text)


if __name__ == "__main__":
    run_stage(targets)
