"""The deployments of prefect.yaml through a real server, work pool and worker, and what the pages show of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.test_flows import lives
from tests.support.mini_project import faults, flow_environment, make_mini_project
from tests.support.prefect_server import PREFECT, PrefectServer, prefect_server
from tests.support.servers import free_port
from tests.support.tiny_project import PROJECT

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 90


class Team:
    """A project with its deployments, a server that has them and a worker that runs them."""

    def __init__(self, project: Path, server: PrefectServer) -> None:
        self.project, self.server = project, server
        self.worker: subprocess.Popen[bytes] | None = None

    def prefect(self, *words: str) -> str:
        result = subprocess.run(
            [PREFECT, "--no-prompt", *words], cwd=self.project, env=self.environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    @property
    def environment(self) -> dict[str, str]:
        return flow_environment(**self.server.variables)

    def start_worker(self) -> None:
        with (self.project / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [PREFECT, "worker", "start", "--pool", "boxline"],
                cwd=self.project,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        assert self.worker is not None
        os.killpg(self.worker.pid, 9)
        self.worker.wait()

    def deployment(self, name: str) -> str:
        [found] = self.server.ask("deployments/filter", deployments={"name": {"any_": [name]}})
        return str(found["id"])

    def start(self, deployment: str, **parameters: object) -> str:
        """A run of it, as the page's button orders it."""
        run = self.server.ask(
            f"deployments/{self.deployment(deployment)}/create_flow_run",
            parameters=parameters,
            state={"type": "SCHEDULED"},
        )
        return str(run["id"])

    def run(self, flow_run_id: str) -> dict[str, Any]:
        [found] = self.server.ask("flow_runs/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        return dict(found)

    def wait(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < deadline, (self.project / "worker.log").read_text()[-4000:]
            time.sleep(0.1)

    def ended(self, flow_run_id: str) -> str:
        """The name of the state that the run ends in."""
        final = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
        self.wait(lambda: self.run(flow_run_id)["state_type"] in final)
        return str(self.run(flow_run_id)["state_name"])


def make_team(folder: Path, server: PrefectServer) -> Team:
    project = make_mini_project(folder / "project")
    shutil.copy(PROJECT / "prefect.yaml", project)
    (project / "flows").symlink_to(PROJECT / "flows")
    team = Team(project, server)
    team.prefect("work-pool", "create", "boxline", "--type", "process")
    team.prefect("deploy", "--all")
    team.start_worker()
    return team


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    (folder / "home").mkdir()
    with prefect_server(folder / "home") as server:
        team = make_team(folder, server)
        yield team
        team.kill_worker()


def test_a_schedule_runs_what_it_should_and_the_pages_show_it(team: Team, browser: Browser) -> None:
    faults(team.project, "download@coco", "75")
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    daily = {"interval": 86400, "anchor_date": soon, "timezone": "UTC"}
    team.server.ask(f"deployments/{team.deployment('on-demand')}/schedules", [{"schedule": daily, "active": True}])

    def scheduled() -> list[dict[str, Any]]:
        runs = team.server.ask("flow_runs/filter", deployments={"name": {"any_": ["on-demand"]}})
        return [run for run in runs if run["auto_scheduled"] and run["start_time"]]

    team.wait(scheduled)
    run = scheduled()[0]
    assert team.ended(run["id"]) == "Completed"
    assert set(team.server.task_states(run["id"]).values()) == {"Completed", "Skipped"}

    page, complaints = browser.new_page(), []
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto(f"http://127.0.0.1:{team.server.port}/runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    expect(page.get_by_text("10 Task runs")).to_be_visible()
    log = page.get_by_role("tabpanel").locator("code").first
    expect(log).to_contain_text("download@coco begins")
    expect(log).to_contain_text("network or storage out of reach")
    expect(log).to_contain_text("Retry 1/14 will start")
    page.get_by_text("Task Runs", exact=True).click()
    expect(page.get_by_text("evaluate@coco_yolo").first).to_be_visible()
    found = team.server.ask("artifacts/filter", flow_runs={"id": {"any_": [run["id"]]}})
    pages = {one["key"]: f"http://127.0.0.1:{team.server.port}/artifacts/artifact/{one['id']}" for one in found}
    page.goto(pages["metrics-coco-yolo"])
    for text in ("Scores of coco_yolo beside their baselines", "baseline", "0.25", "0.01"):
        expect(page.get_by_text(text).first).to_be_visible()
    page.goto(pages["predictions-coco-yolo"])
    expect(page.locator("img[src^='data:image/jpeg']").first).to_be_visible()
    assert [url for url in complaints if "127.0.0.1" not in url] == []


def test_a_cancelled_training_is_gone_within_seconds(team: Team) -> None:
    faults(team.project, "train@coco_yolo", "hang")
    run = team.start("on-demand", targets=["train@coco_yolo"], force=["train@coco_yolo"], pull=False, push=False)
    team.wait((team.project / "hanging").exists)
    training = int((team.project / "hanging").read_text())
    started = time.monotonic()
    team.server.ask(f"flow_runs/{run}/set_state", state={"type": "CANCELLING"})
    team.wait(lambda: not (team.project / ".dvc/tmp/boxline/holder.json").exists())
    assert not lives(training)  # until then nobody else may have the workspace
    assert time.monotonic() - started < 15
    assert team.ended(run) == "Cancelled"
    again = team.start("on-demand", targets=["train@coco_yolo"], pull=False, push=False)
    assert team.ended(again) == "Completed"
    assert team.server.unfinished() == []


def test_the_server_starts_anew_then_worker_and_flow_die_and_housekeeping_says_so(team: Team) -> None:
    """A server that forgot the run's claim would end it. The new one would take the run for running for good."""
    (team.project / "hanging").unlink(missing_ok=True)
    faults(team.project, "train@coco_yolo", "hang")
    run = team.start("on-demand", targets=["train@coco_yolo"], force=["train@coco_yolo"], pull=False, push=False)
    team.wait((team.project / "hanging").exists)
    training = int((team.project / "hanging").read_text())
    flow = json.loads((team.project / ".dvc/tmp/boxline/holder.json").read_text())["process_id"]
    claim = team.run(run)["state"]["state_details"]["deployment_concurrency_lease_id"]
    team.server.kill()
    team.server.start()
    team.server.ask(f"v2/concurrency_limits/leases/{claim}/renew")  # as the run does every few minutes
    team.kill_worker()
    os.kill(flow, 9)
    assert lives(training)
    team.start_worker()
    housekeeping = team.start("housekeeping")
    assert team.ended(housekeeping) == "Completed"
    assert team.run(housekeeping)["state"]["message"] == (
        f"Runs that had been killed: {team.run(run)['name']}. The workspace is free."
    )
    assert not lives(training)
    assert team.run(run)["state_name"] == "Crashed"
    assert team.server.unfinished() == []
    again = team.start("on-demand", targets=["train@coco_yolo"], pull=False, push=False)
    assert team.ended(again) == "Completed"


def test_a_source_that_has_changed_is_downloaded(team: Team) -> None:
    """The mini project's sources are drawn samples, over which DVC itself watches."""
    watched = team.start("upstream-watch")
    assert team.ended(watched) == "Skipped"
    assert team.run(watched)["state"]["message"] == "Skipped: no source has changed."


def test_one_command_serves_a_machine_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    project = make_mini_project(tmp_path / "project")
    shutil.copy(PROJECT / "prefect.yaml", project)
    (project / "flows").symlink_to(PROJECT / "flows")
    port = free_port()
    variables = flow_environment(PREFECT_SERVER_API_PORT=str(port))
    words = [sys.executable, "-m", "flows.server"]
    with subprocess.Popen(words, cwd=project, env=variables, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "Boxline" in line)
        assert said == f"Boxline runs by itself now: http://127.0.0.1:{port} shows how. Ctrl-C ends it.\n"
        deployments = PrefectServer(project, port).ask("deployments/filter")
        assert sorted(deployment["name"] for deployment in deployments) == [
            "housekeeping",
            "nightly-validation",
            "on-demand",
            "upstream-watch",
            "weekly-retraining",
        ]
        second = subprocess.run(words, cwd=project, env=variables, capture_output=True, text=True)
        assert second.returncode == 1
        [said] = second.stderr.splitlines()
        children = psutil.Process(process.pid).children(recursive=True)
        [number] = re.findall(
            rf"^Error: 127.0.0.1:{port} is in use by process (\d+) \(.*prefect.*\). End that one ", said
        )
        assert int(number) in [child.pid for child in children]
        assert said.endswith(f"or use it: PREFECT_API_URL=http://127.0.0.1:{port}/api make server")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert [child for child in children if lives(child.pid)] == []
    assert (project / ".prefect" / "prefect.db").exists()
