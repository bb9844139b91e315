"""boxline params: every section of params.yaml checked at once, before hours of work."""

import sys

from pipeline.core.config import PARAMS_FILE, Params, load_params, parse_config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import pluralize
from pipeline.datasets.formats.registry import get_format
from pipeline.datasets.registry import get_dataset
from pipeline.datasets.splits import parse_split
from pipeline.evaluation.config import EvaluateConfig
from pipeline.packing.config import PackConfig
from pipeline.pretrained.config import parse_pretrained
from pipeline.systems.common.registry import get_system
from pipeline.training.config import TrainConfig
from pipeline.validation.config import parse_checks


def params() -> int:
    """Check every section of params.yaml.

    A stage checks only the sections that it reads; this command finds a mistake before the first stage runs.
    """
    checked = load_params()
    check_params(checked)
    datasets = pluralize(len(checked.datasets), "dataset", "datasets")
    systems = pluralize(len(checked.systems), "system", "systems")
    sys.stdout.write(f"{PARAMS_FILE} is valid: {datasets}, {systems}.\n")
    return 0


def check_params(params: Params) -> None:
    """Check the sections that `load_params` leaves to the code that uses them.

    Raises:
        BoxlineError: for the first key, type, range or name that a stage would reject.

    """
    for name, dataset in params.datasets.items():
        where = f"datasets.{name}"
        if dataset.module is not None:
            sample_writer = get_dataset(dataset.module, where=f"{PARAMS_FILE}: {where}.module").sample_writer()
            parse_config(dataset.sample, sample_writer.config_class, f"{where}.sample")
        elif dataset.format is not None:
            reader = get_format(dataset.format, where=f"{PARAMS_FILE}: {where}.format")
            parse_config(dataset.options, reader.options_class, f"{where}.options")
        parse_split(dataset.split, where)
        parse_checks(params, name)
    for name, section in params.systems.items():
        where = f"systems.{name}"
        system = get_system(section.module, where=f"{PARAMS_FILE}: {where}.module")
        parse_pretrained(section.pretrained, system.pretrained_scales, f"{where}.pretrained")
        parse_config(section.pack, PackConfig, f"{where}.pack")
        parse_config(section.targets, system.targets_config, f"{where}.targets")
        parse_config(section.model, system.model_config, f"{where}.model")
        train = parse_config(section.train, TrainConfig, f"{where}.train")
        _require_phases(train, system.phases, f"{where}.train.phases")
        parse_config(section.evaluate, EvaluateConfig, f"{where}.evaluate")


def _require_phases(train: TrainConfig, phases: tuple[str, ...], where: str) -> None:
    unknown = next((phase for phase in train.phases if phase not in phases), None)
    if unknown is not None:
        raise BoxlineError(
            f"{PARAMS_FILE}: {where}: received {unknown!r}, expected phases of the system: {join_items(phases)}."
        )
