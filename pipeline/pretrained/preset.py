"""A whole published detector with its preprocessing, for predictions without a dataset."""

import tempfile
from pathlib import Path

import keras
import keras_hub

from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.redaction import redact_message, redact_url
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.resolve import join_url
from pipeline.download.transfer import download_url
from pipeline.pretrained.config import DETECTOR_FILES
from pipeline.pretrained.handles import PRESET_EXAMPLE, PRESET_SOURCES, is_handle
from pipeline.pretrained.load import error_summary, read_pretrained

MAX_FILE_BYTES = 2 << 30
"""Ten times the published weights: no server can fill the disk."""

RETRY = RetryPolicy(max_attempts=3)
"""Fewer tries than for a dataset: a user waits."""


def load_detector_preset(source: str) -> keras.Model:
    """Load a RetinaNet of KerasHub, with its preprocessor if it has one. Code inside its files is never run.

    Args:
        source: the name of a KerasHub preset, a handle of another hub, a folder, or an http(s) URL of one.

    Raises:
        BoxlineError: if it does not exist, cannot be reached, or holds no RetinaNet that can be loaded.

    """
    detector_class = keras_hub.models.RetinaNetObjectDetector
    if not is_handle(source):
        return _from_files(source)
    if "://" not in source and source not in detector_class.presets:
        raise BoxlineError(
            f"--pretrained: received {source!r}, expected one of {join_items(sorted(detector_class.presets))}, a "
            f"handle of another hub, a folder or an http(s) URL. {PRESET_EXAMPLE}"
        )
    try:
        return detector_class.from_preset(source)
    except Exception as error:  # each hub client has exceptions of its own
        raise BoxlineError(
            f"--pretrained: {redact_url(source)!r} could not be fetched ({redact_message(error_summary(error))}). "
            "Check the name and the network, or give a folder or an http(s) URL that holds "
            f"{join_items(DETECTOR_FILES)}."
        ) from None


def _from_files(source: str) -> keras.Model:
    try:
        if "://" not in source:
            return read_pretrained(Path(source).expanduser())
        advice = f"Give {PRESET_SOURCES}."
        with tempfile.TemporaryDirectory(prefix="boxline-") as folder:
            for name in DETECTOR_FILES:
                download_url(join_url(source, name), Path(folder) / name, RETRY, advice, MAX_FILE_BYTES)
            return read_pretrained(Path(folder))
    except BoxlineError:
        raise
    except Exception as error:  # with untrusted files the libraries may raise any exception
        raise BoxlineError(
            f"--pretrained: {redact_url(source)} holds no RetinaNet that can be loaded "
            f"({redact_message(error_summary(error))}). Expected {PRESET_SOURCES}."
        ) from None
