"""Prefect with a real PostgreSQL, as docs/operations.md recommends for teams."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mini_project import faults, make_mini_project
from tests.support.prefect_server import PrefectServer, prefect_server
from tests.support.servers import postgresql

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgresql,
    pytest.mark.skipif(
        not list(Path("/usr/lib/postgresql").glob("*/bin")),
        reason="PostgreSQL of Debian is not installed; `make programs` installs it.",
    ),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    (tmp_path / "home").mkdir()
    with postgresql() as address, prefect_server(tmp_path / "home", address) as running:
        yield running


def test_runs_survive_a_restart_of_the_server(server: PrefectServer, tmp_path: Path) -> None:
    project = make_mini_project(tmp_path / "project")
    faults(project, "download@coco", "75")
    options = {"targets": ["validate@coco"], "pull": False, "push": False}
    assert server.run_flow(project, **options)[0] == "Completed"
    server.kill()
    server.start()
    [run] = server.flow_runs()
    states = server.task_states(run["id"])
    assert states == dict.fromkeys(["parameters", "download@coco", "validate@coco", "record"], "Completed")
    assert server.unfinished_runs() == []
