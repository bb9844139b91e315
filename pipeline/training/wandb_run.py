"""Optional logging to Weights & Biases, enabled by the environment variable WANDB_MODE.

`offline` writes a run into a folder and needs no account; `wandb sync` uploads it later. `online` uploads during the
training and needs `wandb login` or WANDB_API_KEY. If the variable is unset or `disabled`, wandb is not imported.
A run stores the machine's name and platform, the versions of Python and wandb, and the imported frameworks. It does not
store code, Git state, the command line, output, packages or system load.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError

REQUIREMENT = "wandb>=0.31,<0.32"
"""The extra `wandb` of pyproject.toml. Installing this requirement, not the extra, keeps the locked packages."""


@contextlib.contextmanager
def wandb_run(folder: Path, project: str, name: str, run_id: str | None = None) -> Iterator[Any]:
    """Start a run, and finish it afterwards.

    Args:
        folder: the run's files are written into its subfolder `wandb`.
        project: name of the project.
        name: display name of the run.
        run_id: continues the run with that id.

    Yields:
        The `wandb.Run`, or None if WANDB_MODE is unset or `disabled`.

    Raises:
        BoxlineError: if WANDB_MODE has another value, wandb is not installed, or the run cannot start.

    """
    mode = os.environ.get("WANDB_MODE", "disabled")
    if mode == "disabled":
        yield None
        return
    if mode not in ("online", "offline"):
        raise BoxlineError(f"WANDB_MODE: received {mode!r}, expected online, offline or disabled (the default).")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb's service starts; no setting exists
    try:
        import wandb
    except ImportError:
        raise BoxlineError(
            f"WANDB_MODE is {mode}, but wandb is not installed. "
            f"Install it with `{sys.executable} -m pip install '{REQUIREMENT}'`, or unset WANDB_MODE."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)  # wandb would fall back to a temporary folder
    settings = wandb.Settings(
        console="off",
        silent=True,
        save_code=False,
        disable_git=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    try:
        # Offline runs cannot be resumed: the second part gets the same id, and `wandb sync` joins both.
        resume: Literal["allow"] | None = "allow" if run_id is not None and mode == "online" else None
        run = wandb.init(
            dir=folder, project=project, name=name, id=run_id, resume=resume, mode=cast(Any, mode), settings=settings
        )
    except wandb.errors.Error as error:
        raise BoxlineError(
            f"WANDB_MODE is {mode}, but Weights & Biases did not start ({str(error).splitlines()[0]}). "
            "Run `wandb login`, set WANDB_MODE=offline, or unset it."
        ) from None
    with run:
        yield run


def log_images(
    run: Any,
    step: int,
    scalars: Mapping[str, Any],
    model_inputs: NDArray[np.uint8],
    box_sets: Sequence[Mapping[str, Any]],
) -> None:
    """Log one step of a run.

    Args:
        run: a `wandb.Run`.
        step: number of the step.
        scalars: numbers of the step, such as losses, by name.
        model_inputs: uint8 [N, size, size, 1 or 3], logged as `images`.
        box_sets: the box sets of each image, in wandb's format.

    """
    import wandb

    images = [
        wandb.Image(model_input[..., 0] if model_input.shape[-1] == 1 else model_input, boxes=dict(sets))
        for model_input, sets in zip(model_inputs, box_sets, strict=True)
    ]
    run.log({**scalars, "images": images}, step=step)
