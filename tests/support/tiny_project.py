"""A copy of the project with a few small images and one epoch: every stage is real and takes seconds."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[2]

COVERED_BY_OTHERS = ("rectangle_distributional_localizer", "snack_distributional_localizer", "coco_retinanet_coarse")
"""Systems left out: another entry has the same module, and another one the same dataset."""


def tiny_params() -> dict[str, Any]:
    params = YAML(typ="safe", pure=True).load(PROJECT / "params.yaml")
    params["datasets"]["digits"]["sample"] |= {"train_images": 48, "test_images": 8}
    params["datasets"]["coco"]["sample"] |= {"train_images": 40, "val_images": 8}
    params["datasets"]["rectangles"]["sample"] |= {"train_images": 20, "val_images": 6}
    params["datasets"]["snacks"]["sample"] |= {"train_images": 60, "val_images": 8, "test_images": 4}
    for name in COVERED_BY_OTHERS:
        del params["systems"][name]
    for system in params["systems"].values():
        system["pack"]["shard_images"] = 16
        system["train"] |= {"batch_size": 8, "validation_batches": 1}
        for phase in system["train"]["phases"].values():
            phase["epochs"] = 1
        system["evaluate"]["plotted_images"] = 2
    for name in ("snack_localizer", "coco_retinanet", "coco_anchor_free_detector"):
        params["systems"][name]["pack"]["image_size"] = 64
    params["systems"]["coco_yolo"]["train"]["augment"] = {
        "flip_probability": 0.5,
        "max_translate_fraction": 0.1,
        "scale": [0.8, 1.25],
        "rotate_degrees": 5,
        "color": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2},
    }
    params["systems"]["coco_retinanet"]["targets"]["crowd"] = "ignore"
    stages = [{"filters": filters, "blocks": 1} for filters in (8, 16, 16)]
    params["systems"]["coco_anchor_free_detector"]["model"] |= {"stages": stages, "pyramid_filters": 16}
    params["systems"]["coco_yolo"]["model"] |= {"conv_filters": 8, "dense_units": 16}
    return params


def write_params(folder: Path, params: dict[str, Any]) -> None:
    YAML().dump(params, folder / "params.yaml")


def make_tiny_project(folder: Path, datasets: Mapping[str, Any] | None = None) -> Path:
    """A Git repository with a fresh DVC project below `folder`, with more datasets on request."""
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(PROJECT / name, folder / name)
    shutil.copytree(PROJECT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    params = tiny_params()
    params["datasets"] |= datasets or {}
    write_params(folder, params)
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "init", "--quiet"], cwd=folder, check=True)
    run_dvc(folder, "init", "--quiet")
    subprocess.run([*git, "add", "--all"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "tiny"], cwd=folder, check=True)
    return folder


def run_dvc(folder: Path, *argv: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run DVC as a user does, from the project's environment, with additional environment variables."""
    dvc = Path(sys.executable).with_name("dvc")
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "DVC_NO_ANALYTICS": "1", **env}
    result = subprocess.run([dvc, *argv], cwd=folder, check=False, capture_output=True, text=True, env=environment)
    if check and result.returncode:
        raise AssertionError(f"dvc {' '.join(argv)} ended with {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result
