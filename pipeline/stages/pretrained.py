"""pretrained: fetch the weights that a system starts from, once, so that DVC versions them like data."""

import logging
from pathlib import Path

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params
from pipeline.core.redaction import redact_url
from pipeline.pretrained.config import parse_pretrained
from pipeline.stages.runner import run_stage
from pipeline.systems.common.registry import get_system

logger = logging.getLogger(__name__)


def pretrained(system: str, out: Path) -> None:
    """Fetch or initialize the pretrained weights of a system.

    Args:
        system: key in params.yaml, under systems.
        out: receives the weights; stays empty if the system starts from random weights.

    """
    params = load_params()
    entry, where = params.system(system), f"systems.{system}.pretrained"
    declared = get_system(entry.module, f"params.yaml: systems.{system}.module")
    config = parse_pretrained(entry.pretrained, declared.pretrained_scales, where)
    with atomic_directory(out) as folder:
        if config is None:
            return
        # Only now: importing Keras takes seconds.
        import keras

        from pipeline.pretrained.fetch import fetch_pretrained

        source = declared.pretrained_source()
        assert source is not None, "a system with scales has pretrained weights"
        keras.utils.set_random_seed(params.seed)
        num_parameters = fetch_pretrained(config, source, where, folder)
    logger.info("pretrained weights of %s from %s: %d parameters", system, redact_url(config.source), num_parameters)


if __name__ == "__main__":
    run_stage(pretrained)
