"""Optional logging to Weights & Biases, enabled by the environment variable WANDB_MODE.

`offline` writes a run into a folder and needs no account; `wandb sync` uploads it later. `online` uploads during the
training and needs `wandb login` or WANDB_API_KEY. If the variable is unset or `disabled`, wandb is not imported.
A run stores its parameters, the Git revision and the name of the DVC experiment, so that a set of runs can be told
apart; the machine's name and platform, the versions of Python and wandb, and the imported frameworks. It does not store
code, the command line, output, packages or system load. The model is not uploaded: DVC stores it.
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
from pipeline.core.git import short_commit

REQUIREMENT = "wandb>=0.31,<0.32"
"""The extra `wandb` of pyproject.toml. Installing this requirement, not the extra, keeps the locked packages."""


PROJECT = "boxline"

EXPERIMENT_VARIABLE = "DVC_EXP_NAME"
"""The name of the experiment, which `dvc exp run` gives its stages."""


@contextlib.contextmanager
def wandb_run(
    folder: Path,
    system: str,
    parameters: Mapping[str, Any],
    *,
    group: str | None = None,
    tags: Sequence[str] = (),
    run_id: str | None = None,
) -> Iterator[Any]:
    """Start a run, and finish it afterwards.

    Its name is the system with the name of the DVC experiment, or with the Git revision outside of one.

    Args:
        folder: the run's files are written into its subfolder `wandb`.
        system: the system that is trained.
        parameters: the configuration of the run, as values that JSON can hold.
        group: the runs that are listed together.
        tags: filter the list of runs.
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
    revision, experiment = _revision(), os.environ.get(EXPERIMENT_VARIABLE)
    try:
        # Offline runs cannot be resumed: the second part gets the same id, and `wandb sync` joins both.
        resume: Literal["allow"] | None = "allow" if run_id is not None and mode == "online" else None
        run = wandb.init(
            dir=folder,
            project=PROJECT,
            name=" ".join(filter(None, [system, experiment or revision])),
            config={"system": system, "git_revision": revision, "dvc_experiment": experiment, **parameters},
            group=group,
            tags=tags,
            id=run_id,
            resume=resume,
            mode=cast(Any, mode),
            settings=settings,
        )
        run.define_metric("val_loss", summary="min,last")
    except wandb.errors.Error as error:
        raise BoxlineError(
            f"WANDB_MODE is {mode}, but Weights & Biases did not start ({str(error).splitlines()[0]}). "
            "Run `wandb login`, set WANDB_MODE=offline, or unset it."
        ) from None
    with run:
        yield run


def _revision() -> str | None:
    """The checked-out commit; None without a repository or without Git."""
    with contextlib.suppress(BoxlineError):
        return short_commit()
    return None


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
