"""The fingerprint of a training: a digest of everything that a checkpoint depends on."""

import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.core.config import SystemConfig
from pipeline.packing.shards import Shards, evenly_spaced

SAMPLED_IMAGES = 64

CONFIG_SECTIONS = ("module", "pretrained", "pack", "targets", "model", "train")
PACKAGES = ("keras", "keras-hub", "numpy", "opencv-python-headless")

PIPELINE = Path(__file__).parents[1]


def backend_version() -> str:
    """The name and version of Keras's backend, such as "tensorflow 2.21.0"."""
    backend = keras.config.backend()
    # Not from the metadata: the backend's distribution has another name without a GPU.
    return f"{backend} {importlib.import_module(backend).__version__}"


def training_fingerprint(seed: int, system: SystemConfig, pretrained: Path, images: Shards, targets: Shards) -> str:
    """The fingerprint of the training of a system.

    Args:
        seed: the project's seed.
        system: the system's entry in params.yaml.
        pretrained: the folder of the pretrained weights.
        images: the packed images.
        targets: the training targets.

    Returns:
        16 hexadecimal digits.

    """
    files = [*code_files(system.module), *sorted(pretrained.iterdir())]
    return fingerprint(fingerprint_config(seed, system), files, images, targets)


def fingerprint_config(seed: int, system: SystemConfig) -> dict[str, Any]:
    """The configuration and the package versions that a training depends on."""
    return {
        "seed": seed,
        **{name: getattr(system, name) for name in CONFIG_SECTIONS},
        **{name: version(name) for name in PACKAGES},
        "backend": backend_version(),
    }


def code_files(module: str) -> list[Path]:
    """The source files that a training of the system in `pipeline/systems/<module>` depends on."""
    folders = ("training", "systems/common", f"systems/{module}", "pretrained", "geometry")
    modules = [path for folder in folders for path in sorted((PIPELINE / folder).glob("*.py"))]
    return [*modules, PIPELINE / "inference" / "predictor.py"]


def fingerprint(values: Mapping[str, Any], files: Iterable[Path], images: Shards, targets: Shards) -> str:
    """Digest values, files and data.

    Pixels of at most SAMPLED_IMAGES images are read, and the ids of all: a large dataset would take minutes.

    Args:
        values: anything that JSON can hold.
        files: read completely.
        images: the packed images.
        targets: the training targets, read completely.

    Returns:
        16 hexadecimal digits.

    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(path.read_bytes())
    for shards, max_rows in ((images, SAMPLED_IMAGES), (targets, len(targets))):
        digest.update(shards.image_ids.tobytes())
        rows = evenly_spaced(np.arange(len(shards)), max_rows)
        for name in shards.names:
            digest.update(shards.take(name, rows).tobytes())
    return digest.hexdigest()[:16]
