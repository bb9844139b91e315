"""Runs a stage function as a command whose options follow from the function's signature."""

import argparse
import gc
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.core.exit_codes import handle_errors
from pipeline.core.terminal import escape_unencodable_output


def run_stage(stage: Callable[..., None]) -> None:
    """Parse the command line and call the stage.

    Args:
        stage: its first parameter, `dataset` or `system`, is a positional argument. Every other parameter is a
            required option: `targets_report: Path` becomes --targets-report. dvc.yaml passes all paths, so that no
            stage repeats one.

    """
    gc.freeze()  # imports stay to the end; the collector would go through them again and again, also at the end
    escape_unencodable_output()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    subject, *options = inspect.signature(stage).parameters
    parser = argparse.ArgumentParser(description=inspect.getdoc(stage))
    parser.add_argument(subject, help=f"key in params.yaml, under {subject}s")
    for option in options:
        parser.add_argument(f"--{option.replace('_', '-')}", type=Path, required=True)
    arguments = parser.parse_args()
    with handle_errors():
        stage(**vars(arguments))
