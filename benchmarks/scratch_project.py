"""A temporary copy of the project in which systems are trained with other parameters."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[1]
REAL_DATA = PROJECT.parent / "shared" / "data"
"""Samples of real data next to the project; they are not part of it."""

Parameters = Mapping[str, Any]
"""Values by dotted key of params.yaml."""

FULL_SCALE: Parameters = {
    "datasets.digits.sample.train_images": 3000,
    "datasets.digits.sample.test_images": 600,
    "datasets.coco.sample.train_images": 6000,
    "datasets.coco.sample.val_images": 400,
    "datasets.rectangles.sample.train_images": 1024,
    "datasets.rectangles.sample.val_images": 200,
    "datasets.snacks.sample.train_images": 1200,
    "datasets.snacks.sample.val_images": 200,
    "datasets.snacks.sample.test_images": 100,
    "systems.digits_localizer.train.phases.all.epochs": 20,
    "systems.digits_distributional_localizer.train.phases.all.epochs": 10,
    "systems.rectangle_localizer.train.phases.head.epochs": 10,
    "systems.rectangle_distributional_localizer.train.phases.all.epochs": 16,
    "systems.snack_localizer.train.phases.classifier.epochs": 15,
    "systems.snack_localizer.train.phases.boxes.epochs": 15,
    "systems.snack_localizer.train.batch_size": 32,
    "systems.snack_distributional_localizer.train.phases.all.epochs": 20,
    "systems.coco_yolo.train.phases.all.epochs": 30,
    "systems.coco_retinanet_coarse.train.phases.all.epochs": 6,
    "systems.coco_retinanet_coarse.train.phases.all.schedule.every_epochs": 5,
}
"""Samples and epochs of the comparisons, in place of the small ones of params.yaml; listed in docs/systems.md."""


def with_overrides(params: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """A copy of `params` with the given values."""
    params = copy.deepcopy(dict(params))
    for dotted, value in parameters.items():
        *sections, key = dotted.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
    return params


def for_system(system: str, parameters: Parameters) -> Parameters:
    """The same values with keys that start at the section of the system."""
    return {f"systems.{system}.{key}": value for key, value in parameters.items()}


class ScratchProject:
    """A DVC project in `folder`. Stages with equal parameters, such as those of datasets, run once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("dvc.yaml", ".dvcignore"):
            shutil.copy(PROJECT / name, folder / name)
        shutil.copytree(PROJECT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
        params = YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")
        self._params = with_overrides(params, FULL_SCALE)
        self._dvc("init", "--no-scm", "--quiet")

    def evaluate(self, system: str, parameters: Parameters) -> dict[str, Any]:
        """Train and score a system.

        Args:
            system: a key of `systems` in params.yaml.
            parameters: values that replace those of params.yaml and FULL_SCALE.

        Returns:
            The metrics, the error types, and the parameters, epochs and seconds of the training.

        """
        self.run(f"evaluate@{system}", parameters)
        reports = self.folder / "reports" / system
        metrics, errors, training = (
            json.loads((reports / name).read_text(encoding="utf-8"))
            for name in ("metrics.json", "errors.json", "training/train.json")
        )
        training = {name: training[name] for name in ("parameters", "epochs", "seconds")}
        return {**metrics, **training, "error_types": errors["error_types"]}

    def run(self, stage: str, parameters: Parameters) -> None:
        """Run a stage and the stages it depends on, with `parameters` in place of the usual values."""
        YAML().dump(with_overrides(self._params, parameters), self.folder / "params.yaml")
        self._dvc("repro", "--quiet", stage)

    def _dvc(self, *arguments: str) -> None:
        env = {**os.environ, "VIRTUAL_ENV": sys.prefix, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
        dvc = Path(sys.executable).with_name("dvc")
        result = subprocess.run(
            [dvc, *arguments], cwd=self.folder, env=env, check=False, stderr=subprocess.PIPE, encoding="utf-8"
        )
        if result.returncode:
            raise RuntimeError(f"dvc {' '.join(arguments)} failed:\n{result.stderr[-4000:]}")
