"""Stages called as dvc.yaml calls them, in the tests' own process."""

import importlib
import shlex
from pathlib import Path

from ruamel.yaml import YAML

from tests.support.tiny_project import PROJECT


def run_stage(stage: str, key: str) -> None:
    """That stage of a dataset or system, in the current folder, with the paths that dvc.yaml gives it."""
    yaml = YAML(typ="safe", pure=True)
    command = yaml.load(PROJECT / "dvc.yaml")["stages"][stage]["do"]["cmd"].replace("${key}", key)
    if "${item.dataset}" in command:
        command = command.replace("${item.dataset}", yaml.load(Path("params.yaml"))["systems"][key]["dataset"])
    _, name, _, *words = shlex.split(command)
    options = {
        word.removeprefix("--").replace("-", "_"): Path(path)
        for word, path in zip(words[::2], words[1::2], strict=True)
    }
    getattr(importlib.import_module(f"pipeline.stages.{name}"), name)(key, **options)
