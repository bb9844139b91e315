"""The deployments of prefect.yaml, loaded as a worker loads them, and the form of their parameters."""

import json
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.support.tiny_project import PROJECT

pytestmark = pytest.mark.slow

LOAD_FLOWS = """
import json, sys
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

flows = [load_flow_from_entrypoint(entrypoint) for entrypoint in sys.argv[1:]]
print(json.dumps({flow.name: parameter_schema(flow).model_dump()["properties"] for flow in flows}))
"""


@pytest.fixture(scope="module")
def parameters() -> dict[str, dict[str, dict[str, object]]]:
    """The JSON schema of each flow's parameters, by the flow's name."""
    deployments = YAML(typ="safe").load(PROJECT / "prefect.yaml")["deployments"]
    entrypoints = sorted({deployment["entrypoint"] for deployment in deployments})
    argv = [sys.executable, "-c", LOAD_FLOWS, *entrypoints]
    result = subprocess.run(argv, cwd=PROJECT, check=True, capture_output=True, text=True)
    return dict(json.loads(result.stdout))


def test_every_flow_of_a_deployment_can_be_loaded(parameters: dict[str, dict[str, dict[str, object]]]) -> None:
    assert sorted(parameters) == ["housekeeping", "pipeline", "watch_sources"]
    assert parameters["housekeeping"] == {}
    assert list(parameters["watch_sources"]) == ["targets", "git_remote"]


def test_lists_are_editable_fields_of_prefects_form(parameters: dict[str, dict[str, dict[str, object]]]) -> None:
    """A parameter whose default is null would begin as a field without an input."""
    fields = parameters["pipeline"]
    for name in ("targets", "overrides", "force"):
        assert (fields[name]["type"], fields[name]["items"], fields[name]["default"]) == (
            "array",
            {"type": "string", "minLength": 1},
            [],
        )
    assert (fields["max_parallel_stages"]["type"], fields["max_parallel_stages"]["default"]) == ("integer", 2)
    assert (fields["max_parallel_stages"]["minimum"], fields["max_parallel_stages"]["maximum"]) == (1, 64)
    assert "of several such as validate" in str(fields["targets"]["description"])
