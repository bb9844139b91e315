"""train: fit the system's model to its targets."""

from pathlib import Path

from pipeline import params
from pipeline.command import run_stage
from pipeline.errors import BoxlineError
from pipeline.storage.files import whole_folder, write_json
from pipeline.storage.params import Pack
from pipeline.storage.shards import Shards
from pipeline.systems import verbs
from pipeline.systems.labels import Labels
from pipeline.training.fit import fit, make_deterministic
from pipeline.training.params import Train


def train(system: str, pack: Path, targets: Path, out: Path, curves: Path, report: Path) -> None:
    """Train on the images in `pack` and their `targets`; write model.keras to `out`, losses to `curves`."""
    loaded = params.load()
    chosen = loaded.system(system)
    where = f"systems.{system}"
    targets_kind, model_kind = verbs.sections(chosen.module)
    fitting = params.section(chosen.train, Train, f"{where}.train")
    packing = params.section(chosen.pack, Pack, f"{where}.pack")
    architecture = verbs.architecture(chosen.module)
    make_deterministic(loaded.seed)
    model_section = params.section(chosen.model, model_kind, f"{where}.model")
    targets_section = params.section(chosen.targets, targets_kind, f"{where}.targets")
    num_labels = len(Labels.read(targets).names)
    try:
        model = architecture.build_model(
            model_section, targets_section, packing.image_size, packing.channels, num_labels
        )
    except ValueError as error:
        raise BoxlineError(
            f"params.yaml: {where}: the model cannot be built for images of {packing.image_size} px "
            f"({str(error).splitlines()[0]}). Raise pack.image_size, or change the model."
        ) from None
    took = fit(
        model,
        architecture.compile_arguments(),
        Shards(pack, "train"),
        Shards(targets, "train"),
        fitting,
        loaded.seed,
        curves,
    )
    with whole_folder(out) as folder:
        model.save(folder / "model.keras")
    write_json(report, took)


if __name__ == "__main__":
    run_stage(train, "system", ["pack", "targets", "out", "curves", "report"])
