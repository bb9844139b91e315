"""Stages called as dvc.yaml calls them, in the tests' own process."""

import importlib
import shlex
from pathlib import Path

from ruamel.yaml import YAML

from tests.support.tiny_project import PROJECT


def run_stage(stage: str, key: str) -> None:
    """That stage of a dataset or system, in the current folder, with the paths that dvc.yaml gives it."""
    command = YAML(typ="safe", pure=True).load(PROJECT / "dvc.yaml")["stages"][stage]["do"]["cmd"]
    _, name, _, *words = shlex.split(command.replace("${key}", key))
    options = {
        word.removeprefix("--").replace("-", "_"): Path(path)
        for word, path in zip(words[::2], words[1::2], strict=True)
    }
    getattr(importlib.import_module(f"pipeline.stages.{name}"), name)(key, **options)
