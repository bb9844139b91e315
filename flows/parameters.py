"""Parameters of flows: their types and ranges, and the names in them, checked before a run takes the workspace."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ParamSpec

from dvc.exceptions import DvcException
from dvc.parsing import DataResolver
from dvc.repo import Repo
from dvc.utils.serialize import load_yaml
from prefect import State
from prefect.states import Failed
from pydantic import Field, create_model

from pipeline.core.config import Config, parse_config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.git import git

FlowParameters = ParamSpec("FlowParameters")

Text = Annotated[str, Field(min_length=1)]
Minutes = Annotated[float, Field(gt=0, le=525_600)]
"""Up to a year; the timers of Python overflow at some 300."""


def check_parameters(flow: Callable[FlowParameters, State[Any]]) -> Callable[FlowParameters, State[Any]]:
    """Check the parameters of a flow by the annotations of its signature; a run with a wrong one fails at once.

    Prefect shows the ranges in its form. It would check them itself, but not name the received value, and would
    convert values: the flow has `validate_parameters=False`.
    """
    signature = inspect.signature(flow, eval_str=True)
    fields: dict[str, Any] = {
        name: (parameter.annotation, parameter.default) for name, parameter in signature.parameters.items()
    }
    config_class = create_model(flow.__name__, __base__=Config, **fields)

    @functools.wraps(flow)
    def checked(*args: FlowParameters.args, **kwargs: FlowParameters.kwargs) -> State[Any]:
        try:
            parse_config(
                signature.bind(*args, **kwargs).arguments, config_class, where="", path=f"flow {flow.__name__}"
            )
        except BoxlineError as error:
            return Failed(message=str(error))
        return flow(*args, **kwargs)

    return checked


def require_stages(folder: Path, parameter: str, names: Sequence[str]) -> None:
    """Check names of stages, in full or up to the "@".

    Reads dvc.yaml and params.yaml only: a run that works in the folder may be writing dvc.lock.

    Args:
        folder: the project.
        parameter: its name, for the message.
        names: its values.

    Raises:
        BoxlineError: for the first name that is none.

    """
    stages = stage_names(folder)
    known = {*stages, *(stage.partition("@")[0] for stage in stages)}
    for name in names:
        if name not in known:
            groups = sorted({stage.partition("@")[0] for stage in stages})
            raise BoxlineError(f"{parameter}: {name} is not a stage of dvc.yaml; expected one of {', '.join(groups)}.")


def stage_names(folder: Path) -> list[str]:
    """The stages of dvc.yaml.

    Raises:
        BoxlineError: if dvc.yaml or params.yaml is missing or malformed.

    """
    try:
        with Repo(str(folder)) as repo:
            path = folder / "dvc.yaml"
            return list(DataResolver(repo, str(folder), load_yaml(str(path))).get_keys())
    except (DvcException, OSError) as error:
        raise BoxlineError(" ".join(str(error).split())) from None


def require_remotes(folder: Path, remote: str | None, git_remote: str | None) -> None:
    """Check that the remotes exist which a run names; it would use them after hours of work.

    Args:
        folder: the project.
        remote: a remote of DVC's configuration.
        git_remote: a remote of Git's configuration, or an address or folder.

    Raises:
        BoxlineError: if one is unknown.

    """
    if remote is not None:
        with Repo(str(folder)) as repo:
            remotes = list(repo.config["remote"])
        if remote not in remotes:
            raise BoxlineError(
                f"remote: received {remote!r}, expected one of `dvc remote list` ({join_items(remotes) or 'empty'})."
            )
    if git_remote is not None and not set(git_remote) & set("/:") and not (folder / git_remote).exists():
        remotes = git("remote", folder=folder).split()
        if git_remote not in remotes:
            raise BoxlineError(
                f"git_remote: received {git_remote!r}, expected an address or one of `git remote` "
                f"({join_items(remotes) or 'empty'})."
            )
