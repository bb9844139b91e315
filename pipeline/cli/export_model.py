"""boxline export-model: a trained model in another format."""

import logging
import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pipeline.cli.paths import require_writable_path
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.systems.common.model_metadata import require_model_folder

logger = logging.getLogger(__name__)


def export_model(
    system: str,
    /,
    *,
    model_format: Annotated[Literal["h5"], Parameter(name="--format")],
    out: Path | None = None,
) -> int:
    """Write a trained model in another format.

    Args:
        system: key in params.yaml, under systems; its trained model is in data/SYSTEM/train.
        model_format: h5 for Keras's older format, one HDF5 file with the network and its weights.
        out: file to write; SYSTEM.FORMAT in the current folder by default. An existing file is replaced.

    """
    load_params().system(system)
    out = out or Path(f"{system}.{model_format}")
    require_writable_path(out, "--out")
    if out.suffix != f".{model_format}":
        raise BoxlineError(f"--out is {out}, expected a name that ends with .{model_format}.")
    folder = Path("data", system, "train")
    require_model_folder(folder)
    # Imported after all checks of the arguments: TensorFlow takes seconds to start.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides notes about the CPU
    from pipeline.inference.model_formats import write_model
    from pipeline.inference.predictor import Predictor

    write_model(Predictor.load(folder).model, out, model_format)
    logger.info("wrote %s", out)
    return 0
