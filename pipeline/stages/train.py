"""train: fit the system's model to its targets, going on where a stopped training was."""

import importlib
import logging
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import Params, SystemConfig, load_params, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.core.exit_codes import run_stage
from pipeline.packing.config import PackConfig
from pipeline.packing.shards import Shards
from pipeline.pretrained.load import load_pretrained
from pipeline.systems import interfaces as verbs
from pipeline.systems.labels import Labels
from pipeline.systems.model_metadata import MODEL, ModelMetadata
from pipeline.training.augmentation import Augmentation
from pipeline.training.bbox_logger import BBoxLogger
from pipeline.training.checkpoint import Checkpoint, fingerprint
from pipeline.training.config import TrainConfig
from pipeline.training.fit import Data, fit, prepare
from pipeline.training.report import write_report
from pipeline.training.wandb_run import wandb_run

logger = logging.getLogger(__name__)

NUM_LOGGED_IMAGES = 8
PAGE = "boxes.html"


def train(system: str, pretrained: Path, pack: Path, targets: Path, state: Path, out: Path, report: Path) -> None:
    """Train from `pretrained` on the images in `pack` and their `targets`.

    Writes the model with all that prediction needs to `out`, and curves and the page of the training to `report`.
    `state` is no output: it holds what a stopped training needs to go on, and the page while the training runs.
    """
    loaded = load_params()
    chosen = loaded.system(system)
    fitting = parse_config(chosen.train, TrainConfig, f"systems.{system}.train")
    packing = parse_config(chosen.pack, PackConfig, f"systems.{system}.pack")
    labels, codec = Labels.read(targets), verbs.codec(chosen.module)
    prepare(fitting, loaded.seed)
    architecture, model, model_section, targets_section = _build(
        chosen, f"systems.{system}", pretrained, packing, labels
    )
    images, encoded = Shards(pack, "train"), Shards(targets, "train")
    stream = architecture.stream(model_section, packing.image_size, packing.channels)
    augmentation = None
    if fitting.augment is not None:
        augmentation = Augmentation(fitting.augment, lambda truth: codec.encode(truth, targets_section))
    data = Data.of(images, encoded, fitting, loaded.seed, stream, augmentation)
    checkpoint = Checkpoint(
        state, fingerprint(_what_counts(loaded, chosen), _files(chosen, pretrained), images, encoded)
    )
    progress = checkpoint.load()
    page = state / PAGE
    with wandb_run(state, "boxline", system, (progress.log or {}).get("wandb_run_id")) as run:
        model_inputs, truth = data.shown(NUM_LOGGED_IMAGES, codec, labels)
        log = BBoxLogger(
            model_inputs,
            truth,
            lambda outputs: labels.known(codec.decode(outputs)),
            labels.names,
            page,
            system,
            model=model,
            run=run,
        )
        logger.info("%s shows what the model answers after every epoch", page)
        fit(model, lambda name: architecture.part(name, model, model_section), data, fitting, checkpoint, progress, log)
    with atomic_directory(report) as pages, atomic_directory(out) as folder:
        model.compile()  # a new optimizer: the state of the old one would triple the file
        model.save(folder / MODEL)
        labels.write(folder)
        ModelMetadata(chosen.module, packing.image_size, packing.channels, packing.resize).write(folder)
        write_report(pages, progress, data, model)
        if log.epochs_logged:
            shutil.copy(page, pages / PAGE)
    checkpoint.clear()
    page.unlink(missing_ok=True)


def _build(
    chosen: SystemConfig, where: str, pretrained: Path, packing: PackConfig, labels: Labels
) -> tuple[verbs.Architecture, keras.Model, Config, Config]:
    targets_kind, model_kind = verbs.sections(chosen.module)
    model_section = parse_config(chosen.model, model_kind, f"{where}.model")
    targets_section = parse_config(chosen.targets, targets_kind, f"{where}.targets")
    pretrained = load_pretrained(pretrained, chosen.module) if verbs.pretrained_files(chosen.module) else None
    if pretrained is not None and packing.channels != 3:
        raise BoxlineError(
            f"params.yaml: {where}.pack.channels: received {packing.channels}, expected 3: the preset sees colours."
        )
    architecture = verbs.architecture(chosen.module)
    shape = (1, packing.image_size, packing.image_size, packing.channels)
    try:
        model = architecture.build_model(
            model_section, targets_section, packing.image_size, packing.channels, len(labels.names), pretrained
        )
        model(np.zeros(shape, np.uint8))  # a network for every size still refuses some
    except ValueError as error:
        raise BoxlineError(
            f"params.yaml: {where}: the model cannot be built for images of {packing.image_size} px "
            f"({_reason(error)}). Give pack.image_size another value, or change the model or its preset."
        ) from None
    return architecture, model, model_section, targets_section


def _reason(error: Exception) -> str:
    """What Keras prints in bold after the name of the layer, or the first line."""
    text = str(error)
    bold = re.search("\x1b\\[1m(.+?)\x1b\\[0m", text, re.DOTALL)
    return " ".join((bold[1] if bold else text.partition("\n")[0]).split()).rstrip(".")


def _what_counts(loaded: Params, chosen: SystemConfig) -> dict[str, Any]:
    """Parameters that a training depends on, in a form that has a digest."""
    sections = {name: getattr(chosen, name) for name in ("module", "pack", "targets", "model", "train", "preset")}
    packages = {name: version(name) for name in ("keras", "keras-hub", "numpy", "opencv-python-headless")}
    backend = keras.config.backend()
    packages[backend] = importlib.import_module(backend).__version__  # its distribution has other names without a GPU
    return msgspec.to_builtins({"seed": loaded.seed, **sections, **packages})


def _files(chosen: SystemConfig, pretrained: Path) -> list[Path]:
    """Code of trainings, of the system and of boxes, and the preset's files."""
    package = Path(verbs.__file__).parents[1]
    code = [package / "training", package / "systems", package / "systems" / chosen.module, package / "geometry"]
    return [*(path for folder in code for path in sorted(folder.glob("*.py"))), *sorted(pretrained.iterdir())]


if __name__ == "__main__":
    run_stage(train, "system", ["preset", "pack", "targets", "state", "out", "report"])
