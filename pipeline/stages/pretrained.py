"""preset: the pretrained weights that a system starts from, fetched once and versioned like data."""

import logging
from pathlib import Path

import keras

from pipeline.core import config as params
from pipeline.core.atomic_files import whole_folder
from pipeline.core.exit_codes import run_stage
from pipeline.download.sources.base import without_secrets
from pipeline.pretrained.fetch import fetch_preset
from pipeline.systems import interfaces as verbs

logger = logging.getLogger(__name__)


def preset(system: str, out: Path) -> None:
    """Fill `out` from `systems.<system>.preset`; leave it empty for a system that starts from random weights."""
    loaded = params.load()
    chosen = loaded.system(system)
    where = f"systems.{system}.preset"
    section = verbs.preset(chosen.module, chosen.preset, where)
    with whole_folder(out) as folder:
        if section is None:
            return
        keras.utils.set_random_seed(loaded.seed)
        parameters = fetch_preset(section, chosen.module, where, folder)
    logger.info("fetched the preset of %s from %s: %d parameters", system, without_secrets(section.source), parameters)


if __name__ == "__main__":
    run_stage(preset, "system", ["out"])
