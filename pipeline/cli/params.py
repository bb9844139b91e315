"""Every section of params.yaml checked at once, before hours of work: python -m pipeline.cli.params"""

import sys

from pipeline.core.config import Params, load_params, parse_config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets import registry
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.scores import task
from pipeline.packing.config import PackConfig
from pipeline.systems import interfaces as verbs
from pipeline.training.config import TrainConfig
from pipeline.validation.config import checks_of


def check(loaded: Params) -> None:
    """Raise BoxlineError for the first key, type, range or name that no stage could use."""
    for name, dataset in loaded.datasets.items():
        where = f"datasets.{name}"
        parse_config(dataset.sample, registry.sample(dataset.module).SampleConfig, f"{where}.sample")
        checks_of(loaded, name)
    for name, system in loaded.systems.items():
        where = f"systems.{name}"
        targets, model = verbs.sections(system.module)
        task(system.task)
        expected = verbs.codec(system.module).TASK
        if system.task != expected:
            raise BoxlineError(f"params.yaml: {where}.task: received {system.task!r}, expected {expected}.")
        verbs.pretrained(system.module, system.pretrained, f"{where}.preset")
        parse_config(system.pack, PackConfig, f"{where}.pack")
        parse_config(system.targets, targets, f"{where}.targets")
        parse_config(system.model, model, f"{where}.model")
        _require_parts(parse_config(system.train, TrainConfig, f"{where}.train"), verbs.parts(system.module), where)
        parse_config(system.evaluate, EvaluateConfig, f"{where}.evaluate")


def _require_parts(train: TrainConfig, parts: tuple[str, ...], where: str) -> None:
    for phase in train.phases:
        if phase not in parts:
            raise BoxlineError(
                f"params.yaml: {where}.train.phases: received {phase!r}, expected parts of the system: {join_items(parts)}."
            )


if __name__ == "__main__":
    try:
        check(load_params())
    except BoxlineError as error:
        sys.exit(f"Error: {error}")
