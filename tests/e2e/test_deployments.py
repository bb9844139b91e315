"""The deployments of prefect.yaml with a real server, work pool and worker, and the pages of their runs."""

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

from tests.e2e.test_flows import is_running
from tests.support.mini_project import faults, flow_env
from tests.support.prefect_server import FINAL_STATES, PREFECT, PrefectServer, prefect_server
from tests.support.servers import free_port
from tests.support.tiny_project import PROJECT

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 90


class DeployedProject:
    """A project, a server with its deployments, and a worker."""

    def __init__(self, project: Path, server: PrefectServer) -> None:
        self.project, self.server = project, server
        self.worker: subprocess.Popen[bytes] | None = None

    def prefect(self, *args: str) -> str:
        result = subprocess.run(
            [PREFECT, "--no-prompt", *args], cwd=self.project, env=self.env, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    @property
    def env(self) -> dict[str, str]:
        return flow_env(**self.server.env)

    def start_worker(self) -> None:
        with (self.project / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [PREFECT, "worker", "start", "--pool", "boxline"],
                cwd=self.project,
                env=self.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        assert self.worker is not None
        os.killpg(self.worker.pid, 9)
        self.worker.wait()

    def deployment_id(self, name: str) -> str:
        [deployment] = self.server.post("deployments/filter", deployments={"name": {"any_": [name]}})
        return str(deployment["id"])

    def start(self, deployment: str, **parameters: object) -> str:
        """Schedule a run for now, as the button on the page does."""
        run = self.server.post(
            f"deployments/{self.deployment_id(deployment)}/create_flow_run",
            parameters=parameters,
            state={"type": "SCHEDULED"},
        )
        return str(run["id"])

    def run(self, flow_run_id: str) -> dict[str, Any]:
        [run] = self.server.post("flow_runs/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        return dict(run)

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.project / "worker.log").read_text()[-4000:]
            time.sleep(0.1)

    def final_state(self, flow_run_id: str) -> str:
        """Wait until the run has ended and return the name of its state."""
        self.wait_until(lambda: self.run(flow_run_id)["state_type"] in FINAL_STATES)
        return str(self.run(flow_run_id)["state_name"])


def copy_with_flows(mini_project: Path, folder: Path) -> Path:
    """Return a copy of the project that has the flows and deployments of this checkout."""
    shutil.copytree(mini_project, folder)
    shutil.copy(PROJECT / "prefect.yaml", folder)
    (folder / "flows").symlink_to(PROJECT / "flows")
    return folder


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, new_mini_project: Path, empty_database: Path
) -> Iterator[DeployedProject]:
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "home").mkdir()
    project = copy_with_flows(new_mini_project, folder / "project")
    with prefect_server(folder / "home", empty_database=empty_database) as server:
        deployed = DeployedProject(project, server)
        deployed.prefect("work-pool", "create", "boxline", "--type", "process")
        deployed.prefect("deploy", "--all")
        deployed.prefect("deployment", "schedule", "pause", "--all")  # housekeeping every 5 minutes would run, too
        deployed.start_worker()
        yield deployed
        deployed.kill_worker()


def test_scheduled_run_is_executed_and_its_pages_show_it(deployed: DeployedProject, browser: Browser) -> None:
    faults(deployed.project, "download@coco", "75")
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    daily = {"interval": 86400, "anchor_date": soon, "timezone": "UTC"}
    deployed.server.post(
        f"deployments/{deployed.deployment_id('on-demand')}/schedules", [{"schedule": daily, "active": True}]
    )

    def scheduled() -> list[dict[str, Any]]:
        runs = deployed.server.post("flow_runs/filter", deployments={"name": {"any_": ["on-demand"]}})
        return [run for run in runs if run["auto_scheduled"] and run["start_time"]]

    deployed.wait_until(scheduled)
    run = scheduled()[0]
    assert deployed.final_state(run["id"]) == "Completed"
    assert set(deployed.server.task_states(run["id"]).values()) == {"Completed", "Skipped"}

    page, failed_urls = browser.new_page(), []
    page.on("requestfailed", lambda request: failed_urls.append(request.url))
    page.goto(f"http://127.0.0.1:{deployed.server.port}/runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    expect(page.get_by_text("10 Task runs")).to_be_visible()
    log = page.get_by_role("tabpanel").locator("code").first
    expect(log).to_contain_text("download@coco begins")
    expect(log).to_contain_text("network or storage unreachable")
    expect(log).to_contain_text("Retry 1/14 will start")
    page.get_by_text("Task Runs", exact=True).click()
    expect(page.get_by_text("evaluate@coco_yolo").first).to_be_visible()
    artifacts = deployed.server.artifacts(run["id"])
    base_url = f"http://127.0.0.1:{deployed.server.port}/artifacts/artifact"
    pages = {key: f"{base_url}/{artifact['id']}" for key, artifact in artifacts.items()}
    page.goto(pages["metrics-coco-yolo"])
    for text in ("Scores of coco_yolo and baselines", "baseline", "0.25", "0.01"):
        expect(page.get_by_text(text).first).to_be_visible()
    page.goto(pages["predictions-coco-yolo"])
    expect(page.locator("img[src^='data:image/jpeg']").first).to_be_visible()
    assert [url for url in failed_urls if "127.0.0.1" not in url] == []


def test_canceled_training_is_terminated_within_seconds(deployed: DeployedProject) -> None:
    faults(deployed.project, "train@coco_yolo", "hang")
    run = deployed.start("on-demand", targets=["train@coco_yolo"], force=["train@coco_yolo"], pull=False, push=False)
    deployed.wait_until((deployed.project / "hanging").exists)
    training = int((deployed.project / "hanging").read_text())
    started = time.monotonic()
    deployed.server.post(f"flow_runs/{run}/set_state", state={"type": "CANCELLING"})
    deployed.wait_until(lambda: not (deployed.project / ".dvc/tmp/boxline/owner.json").exists())
    assert not is_running(training)  # it must not outlive the lease on the workspace
    assert time.monotonic() - started < 15
    assert deployed.final_state(run) == "Cancelled"
    again = deployed.start("on-demand", targets=["train@coco_yolo"], pull=False, push=False)
    assert deployed.final_state(again) == "Completed"
    assert deployed.server.unfinished_runs() == []


def test_housekeeping_cleans_up_after_kills_of_server_worker_and_flow(deployed: DeployedProject) -> None:
    """A restarted server must know the lease of a run on its deployment, and must not show a killed run as running."""
    (deployed.project / "hanging").unlink(missing_ok=True)
    faults(deployed.project, "train@coco_yolo", "hang")
    run = deployed.start("on-demand", targets=["train@coco_yolo"], force=["train@coco_yolo"], pull=False, push=False)
    deployed.wait_until((deployed.project / "hanging").exists)
    training = int((deployed.project / "hanging").read_text())
    flow_process_id = json.loads((deployed.project / ".dvc/tmp/boxline/owner.json").read_text())["process_id"]
    lease_id = deployed.run(run)["state"]["state_details"]["deployment_concurrency_lease_id"]
    deployed.server.kill()
    deployed.server.start()
    deployed.server.post(f"v2/concurrency_limits/leases/{lease_id}/renew")  # as the run does every few minutes
    deployed.kill_worker()
    os.kill(flow_process_id, 9)
    assert is_running(training)
    deployed.start_worker()
    housekeeping = deployed.start("housekeeping")
    assert deployed.final_state(housekeeping) == "Completed"
    assert deployed.run(housekeeping)["state"]["message"] == (
        f"Runs marked as crashed: {deployed.run(run)['name']}. The workspace is free."
    )
    assert not is_running(training)
    assert deployed.run(run)["state_name"] == "Crashed"
    assert deployed.server.unfinished_runs() == []
    again = deployed.start("on-demand", targets=["train@coco_yolo"], pull=False, push=False)
    assert deployed.final_state(again) == "Completed"


def test_watch_of_sources_is_skipped_without_changes(deployed: DeployedProject) -> None:
    """The sources of the mini project are synthetic samples, whose changes DVC detects."""
    run = deployed.start("source-watch")
    assert deployed.final_state(run) == "Skipped"
    assert deployed.run(run)["state"]["message"] == "Skipped: no source has changed."


def test_one_command_starts_everything_and_ctrl_c_stops_it(tmp_path: Path, new_mini_project: Path) -> None:
    project = copy_with_flows(new_mini_project, tmp_path / "project")
    port = free_port()
    env = flow_env(PREFECT_SERVER_API_PORT=str(port))
    argv = [sys.executable, "-m", "flows.server"]
    with subprocess.Popen(argv, cwd=project, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "Boxline" in line)
        assert line == f"Boxline is running; see http://127.0.0.1:{port}. Press Ctrl-C to stop.\n"
        deployments = PrefectServer(project, port).post("deployments/filter")
        assert sorted(deployment["name"] for deployment in deployments) == [
            "housekeeping",
            "nightly-validation",
            "on-demand",
            "source-watch",
            "weekly-retraining",
        ]
        second = subprocess.run(argv, cwd=project, env=env, capture_output=True, text=True)
        assert second.returncode == 1
        [message] = second.stderr.splitlines()
        children = psutil.Process(process.pid).children(recursive=True)
        [process_id] = re.findall(
            rf"^Error: 127.0.0.1:{port} is in use by process (\d+) \(.*prefect.*\). Stop that process ", message
        )
        assert int(process_id) in [child.pid for child in children]
        assert message.endswith(f"or use that server: PREFECT_API_URL=http://127.0.0.1:{port}/api make server")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    assert [child for child in children if is_running(child.pid)] == []
    assert (project / ".prefect" / "prefect.db").exists()
