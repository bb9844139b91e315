"""Weights & Biases, where the environment asks for it.

WANDB_MODE=offline writes a run into a folder and needs no account; `wandb sync` uploads it later. WANDB_MODE=online
uploads while the training runs and needs `wandb login` or WANDB_API_KEY. Unset or `disabled`, nothing is imported.
Of the machine a run keeps its name and platform, the versions of Python and wandb and which frameworks are imported: no
code, no git state, no command line, no output, no list of packages, no load.
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
"""What the extra `wandb` of pyproject.toml holds. Naming it, and not the extra, leaves the locked packages alone."""


@contextlib.contextmanager
def wandb_run(folder: Path, project: str, name: str, run_id: str | None = None) -> Iterator[Any]:
    """A run that writes below `folder`, or None where WANDB_MODE does not ask for one.

    `run_id` continues the run of that id. Raises BoxlineError for another WANDB_MODE, where wandb is not installed, and
    where it cannot start.
    """
    mode = os.environ.get("WANDB_MODE", "disabled")
    if mode == "disabled":
        yield None
        return
    if mode not in ("online", "offline"):
        raise BoxlineError(f"WANDB_MODE is {mode!r}; expected online or offline, or disabled, which stands when unset.")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb starts its service; there is no setting
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
        # Offline there is nothing to resume from: the second part has the same id, and `wandb sync` joins the two.
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


def log_pictures(
    run: Any,
    step: int,
    scalars: Mapping[str, Any],
    model_inputs: NDArray[np.uint8],
    box_sets: Sequence[Mapping[str, Any]],
) -> None:
    """Log `scalars`, and under `images` each square with its box sets, all as one step."""
    import wandb

    images = [
        wandb.Image(model_input[..., 0] if model_input.shape[-1] == 1 else model_input, boxes=dict(sets))
        for model_input, sets in zip(model_inputs, box_sets, strict=True)
    ]
    run.log({**scalars, "images": images}, step=step)
