"""A scratch copy of the project, in which systems are trained with other parameters."""

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
"""Samples of real data beside the project, which are no part of it."""

Parameters = Mapping[str, Any]
"""Values by dotted key of params.yaml."""


def changed(params: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """What params.yaml holds, with those values in it."""
    params = copy.deepcopy(dict(params))
    for dotted, value in parameters.items():
        *sections, key = dotted.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
    return params


def of_system(system: str, parameters: Parameters) -> Parameters:
    """The same values, by keys that begin at the system's section."""
    return {f"systems.{system}.{key}": value for key, value in parameters.items()}


class Scratch:
    """Pipelines run in `folder`; what they share, such as datasets, is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("dvc.yaml", ".dvcignore"):
            shutil.copy(PROJECT / name, folder / name)
        shutil.copytree(PROJECT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
        self._params = YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")
        self._dvc("init", "--no-scm", "--quiet")

    def evaluate(self, system: str, parameters: Parameters) -> dict[str, Any]:
        """Train and score a system with those parameters: metrics, kinds of errors, and what the training took."""
        self.run(f"evaluate@{system}", parameters)
        reports = self.folder / "reports" / system
        metrics, errors, took = (
            json.loads((reports / name).read_text(encoding="utf-8"))
            for name in ("metrics.json", "errors.json", "training/train.json")
        )
        kept = {name: took[name] for name in ("parameters", "epochs", "seconds")}
        return {**metrics, **kept, "kinds": errors["kinds"]}

    def run(self, stage: str, parameters: Parameters) -> None:
        """A stage, and what it needs, with those parameters."""
        YAML().dump(changed(self._params, parameters), self.folder / "params.yaml")
        self._dvc("repro", "--quiet", stage)

    def _dvc(self, *words: str) -> None:
        environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
        dvc = Path(sys.executable).with_name("dvc")
        result = subprocess.run(
            [dvc, *words], cwd=self.folder, env=environment, check=False, stderr=subprocess.PIPE, text=True
        )
        if result.returncode:
            raise RuntimeError(f"dvc {' '.join(words)} failed:\n{result.stderr[-4000:]}")
