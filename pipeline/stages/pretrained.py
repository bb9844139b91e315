"""preset: the pretrained weights that a system starts from, fetched once and versioned like data."""

import logging
from pathlib import Path

import keras

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params
from pipeline.core.exit_codes import run_stage
from pipeline.core.redaction import redact_url
from pipeline.pretrained.fetch import fetch_pretrained
from pipeline.systems import interfaces as verbs

logger = logging.getLogger(__name__)


def pretrained(system: str, out: Path) -> None:
    """Fill `out` from `systems.<system>.preset`; leave it empty for a system that starts from random weights."""
    loaded = load_params()
    chosen = loaded.system(system)
    where = f"systems.{system}.preset"
    section = verbs.pretrained(chosen.module, chosen.pretrained, where)
    with atomic_directory(out) as folder:
        if section is None:
            return
        keras.utils.set_random_seed(loaded.seed)
        parameters = fetch_pretrained(section, chosen.module, where, folder)
    logger.info("fetched the preset of %s from %s: %d parameters", system, redact_url(section.source), parameters)


if __name__ == "__main__":
    run_stage(pretrained, "system", ["out"])
