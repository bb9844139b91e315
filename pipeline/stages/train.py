"""train: fit the system's model to its targets, going on where a stopped training was."""

from pathlib import Path
from typing import Any

import keras
import msgspec

from pipeline import params
from pipeline.command import run_stage
from pipeline.errors import BoxlineError
from pipeline.params import Params, System
from pipeline.storage.files import whole_folder
from pipeline.storage.params import Pack
from pipeline.storage.shards import Shards
from pipeline.systems import verbs
from pipeline.systems.labels import Labels
from pipeline.systems.presets import load_preset
from pipeline.systems.saved import MODEL, Saved
from pipeline.training.bbox_logger import BBoxLogger
from pipeline.training.fit import Data, fit, prepare
from pipeline.training.params import Train
from pipeline.training.report import write_report
from pipeline.training.resume import Checkpoint, fingerprint
from pipeline.training.wandb_run import wandb_run

NUM_LOGGED_IMAGES = 8


def train(system: str, preset: Path, pack: Path, targets: Path, state: Path, out: Path, report: Path) -> None:
    """Train from `preset` on the images in `pack` and their `targets`.

    Writes the model with all that prediction needs to `out`, and curves and pages to `report`. `state` holds what a
    stopped training needs to go on; it is no output, and is emptied at the end.
    """
    loaded = params.load()
    chosen = loaded.system(system)
    fitting = params.section(chosen.train, Train, f"systems.{system}.train")
    packing = params.section(chosen.pack, Pack, f"systems.{system}.pack")
    labels = Labels.read(targets)
    prepare(fitting, loaded.seed)
    architecture, model, model_section = _build(chosen, f"systems.{system}", preset, packing, labels)
    images, encoded = Shards(pack, "train"), Shards(targets, "train")
    stream = architecture.stream(model_section, packing.image_size, packing.channels)
    data = Data.of(images, encoded, fitting, loaded.seed, stream)
    checkpoint = Checkpoint(state, fingerprint(_what_counts(loaded, chosen), _files(chosen, preset), [images, encoded]))
    progress = checkpoint.load()
    with (
        whole_folder(report) as pages,
        whole_folder(out) as folder,
        wandb_run(state, "boxline", system, (progress.log or {}).get("wandb_run_id")) as run,
    ):
        squares, truth = data.shown(NUM_LOGGED_IMAGES, verbs.codec(chosen.module), len(labels.names))
        log = BBoxLogger(
            squares,
            truth,
            verbs.codec(chosen.module).decode,
            labels.names,
            pages / "boxes.html",
            system,
            model=model,
            run=run,
        )
        fit(model, lambda name: architecture.part(name, model, model_section), data, fitting, checkpoint, progress, log)
        model.compile()  # a new optimizer: the state of the old one would triple the file
        model.save(folder / MODEL)
        labels.write(folder)
        Saved(chosen.module, packing.image_size, packing.channels, packing.resize).write(folder)
        write_report(pages, progress, data, model)
    checkpoint.clear()


def _build(
    chosen: System, where: str, preset: Path, packing: Pack, labels: Labels
) -> tuple[verbs.Architecture, keras.Model, params.Section]:
    targets_kind, model_kind = verbs.sections(chosen.module)
    model_section = params.section(chosen.model, model_kind, f"{where}.model")
    targets_section = params.section(chosen.targets, targets_kind, f"{where}.targets")
    recipe = verbs.recipe(chosen.module)
    pretrained = load_preset(preset, recipe) if recipe.FILES else None
    if pretrained is not None and packing.channels != 3:
        raise BoxlineError(
            f"params.yaml: {where}.pack.channels: received {packing.channels}, expected 3: the preset sees colours."
        )
    architecture = verbs.architecture(chosen.module)
    try:
        model = architecture.build_model(
            model_section, targets_section, packing.image_size, packing.channels, len(labels.names), pretrained
        )
    except ValueError as error:
        raise BoxlineError(
            f"params.yaml: {where}: the model cannot be built for images of {packing.image_size} px "
            f"({str(error).splitlines()[0]}). Raise pack.image_size, or change the model."
        ) from None
    return architecture, model, model_section


def _what_counts(loaded: Params, chosen: System) -> dict[str, Any]:
    """Parameters that a training depends on, in a form that has a digest."""
    sections = {name: getattr(chosen, name) for name in ("module", "pack", "targets", "model", "train", "preset")}
    versions = {"keras": keras.__version__, "backend": keras.config.backend()}
    return msgspec.to_builtins({"seed": loaded.seed, **sections, **versions})


def _files(chosen: System, preset: Path) -> list[Path]:
    """Code of the system and of trainings, and the preset's files."""
    package = Path(verbs.__file__).parents[1]
    code = [package / "systems" / chosen.module / name for name in ("model.py", "targets.py")]
    return [*code, package / "training" / "fit.py", package / "systems" / "networks.py", *sorted(preset.iterdir())]


if __name__ == "__main__":
    run_stage(train, "system", ["preset", "pack", "targets", "state", "out", "report"])
