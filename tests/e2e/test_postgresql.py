"""The server that docs/operations.md names for a team: Prefect with a real PostgreSQL behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mini_project import faults, make_mini_project, run_flow
from tests.support.prefect_server import PrefectServer, prefect_server
from tests.support.servers import postgresql

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgresql,
    pytest.mark.skipif(
        not list(Path("/usr/lib/postgresql").glob("*/bin")),
        reason="There is no PostgreSQL of Debian's; `make programs` installs it there.",
    ),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    (tmp_path / "home").mkdir()
    with postgresql() as address, prefect_server(tmp_path / "home", address) as running:
        yield running


def test_a_run_is_kept_in_the_database(server: PrefectServer, tmp_path: Path) -> None:
    project = make_mini_project(tmp_path / "project")
    faults(project, "download@coco", "75")
    options = {"targets": ["validate@coco"], "pull": False, "push": False}
    assert run_flow(project, variables=server.variables, **options)[0] == "Completed"
    server.kill()
    server.start()
    [run] = server.flow_runs()
    states = server.task_states(run["id"])
    assert states == dict.fromkeys(["parameters", "download@coco", "validate@coco", "record"], "Completed")
    assert server.unfinished() == []
