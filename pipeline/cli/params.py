"""Every section of params.yaml checked at once, before hours of work: python -m pipeline.cli.params"""

import sys

from pipeline.core import config as params
from pipeline.core.config import Params
from pipeline.core.errors import BoxlineError, listed
from pipeline.datasets import registry
from pipeline.evaluation.config import Evaluate
from pipeline.evaluation.scores import task
from pipeline.packing.config import Pack
from pipeline.systems import interfaces as verbs
from pipeline.training.config import Train
from pipeline.validation.config import checks_of


def check(loaded: Params) -> None:
    """Raise BoxlineError for the first key, type, range or name that no stage could use."""
    for name, dataset in loaded.datasets.items():
        where = f"datasets.{name}"
        params.section(dataset.sample, registry.sample(dataset.module).Sample, f"{where}.sample")
        checks_of(loaded, name)
    for name, system in loaded.systems.items():
        where = f"systems.{name}"
        targets, model = verbs.sections(system.module)
        task(system.task)
        expected = verbs.codec(system.module).TASK
        if system.task != expected:
            raise BoxlineError(f"params.yaml: {where}.task: received {system.task!r}, expected {expected}.")
        verbs.preset(system.module, system.preset, f"{where}.preset")
        params.section(system.pack, Pack, f"{where}.pack")
        params.section(system.targets, targets, f"{where}.targets")
        params.section(system.model, model, f"{where}.model")
        _require_parts(params.section(system.train, Train, f"{where}.train"), verbs.parts(system.module), where)
        params.section(system.evaluate, Evaluate, f"{where}.evaluate")


def _require_parts(train: Train, parts: tuple[str, ...], where: str) -> None:
    for phase in train.phases:
        if phase not in parts:
            raise BoxlineError(
                f"params.yaml: {where}.train.phases: received {phase!r}, expected parts of the system: {listed(parts)}."
            )


if __name__ == "__main__":
    try:
        check(params.load())
    except BoxlineError as error:
        sys.exit(f"Error: {error}")
