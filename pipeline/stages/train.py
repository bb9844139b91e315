"""train: fit a system's model to its targets, resuming an interrupted training."""

import logging
import shutil
from pathlib import Path

import keras

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params, parse_config
from pipeline.packing.shards import Shards
from pipeline.stages.runner import run_stage
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import MODEL
from pipeline.training.box_logger import BoxLogger
from pipeline.training.build import build_system
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.config import TrainConfig
from pipeline.training.fingerprint import backend_version, training_fingerprint
from pipeline.training.fit import TrainingData, configure_keras, fit
from pipeline.training.report import training_summary, write_report
from pipeline.training.wandb_run import wandb_run

logger = logging.getLogger(__name__)

PAGE = "boxes.html"


def train(system: str, pretrained: Path, pack: Path, targets: Path, checkpoint: Path, out: Path, report: Path) -> None:
    """Train a system's model on packed images and their targets.

    Args:
        system: key in params.yaml, under systems.
        pretrained: folder of the pretrained weights.
        pack: folder of the packed images.
        targets: folder of the training targets and labels.
        checkpoint: folder of the checkpoint, and of the progress page during the training. Not an output of the
            stage: DVC deletes outputs before a run.
        out: receives the model folder, see systems/common/model_metadata.py.
        report: receives the curves, counts and the progress page.

    """
    params = load_params()
    entry, where = params.system(system), f"systems.{system}"
    config = parse_config(entry.train, TrainConfig, f"{where}.train")
    configure_keras(config, params.seed)
    trainable = build_system(entry, where, pretrained, Labels.read(targets))
    predictor = trainable.predictor
    images, encoded = Shards(pack, "train"), Shards(targets, "train")
    synthetic_batches, augmentation = trainable.synthetic_batches(), trainable.augmentation(config.augment)
    data = TrainingData.split(images, encoded, config, params.seed, synthetic_batches, augmentation)
    saved = Checkpoint(checkpoint, training_fingerprint(params.seed, entry, pretrained, images, encoded))
    state = saved.load()
    page = checkpoint / PAGE
    parameters = {"seed": params.seed, "backend": backend_version(), **entry.model_dump(exclude={"evaluate"})}
    tags, run_id = [entry.module, keras.config.backend()], (state.box_log or {}).get("wandb_run_id")
    with wandb_run(checkpoint, system, parameters, group=entry.dataset, tags=tags, run_id=run_id) as run:
        model_inputs, ground_truth = data.example_images(config.logged_images)
        box_logger = BoxLogger(model_inputs, ground_truth, predictor, page, system, run=run)
        logger.info("%s shows the model's predictions after every epoch", page)
        fit(predictor.model, trainable.phase_model, data, config, saved, state, box_logger)
        summary = training_summary(state, data, predictor.model)
        if run is not None:
            run.summary.update(summary)
    with atomic_directory(report) as report_folder, atomic_directory(out) as model_folder:
        predictor.model.compile()  # a new optimizer: the state of the old one would triple the size of the file
        predictor.model.save(model_folder / MODEL)
        predictor.labels.write(model_folder)
        predictor.metadata.write(model_folder)
        write_report(report_folder, state.history, summary, predictor.model)
        if config.phases:
            shutil.copy(page, report_folder / PAGE)
    saved.clear()
    page.unlink(missing_ok=True)


if __name__ == "__main__":
    run_stage(train)
