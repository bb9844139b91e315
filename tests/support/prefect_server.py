"""A real Prefect server on loopback, and queries of its API."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock

from flows.server import DEFAULT_SETTINGS
from tests.support.mini_project import flow_env
from tests.support.servers import free_port

PREFECT = Path(sys.executable).with_name("prefect")
START_TIMEOUT_SECONDS = 120
FINAL_STATES = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


@dataclass
class PrefectServer:
    """A server with its database in `home`, or at `database_url`."""

    home: Path
    port: int
    database_url: str | None = None
    process: "subprocess.Popen[bytes] | None" = None
    flow_forks: "subprocess.Popen[str] | None" = None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for the server and its clients, with short intervals between polls."""
        return {
            **DEFAULT_SETTINGS,
            "PREFECT_API_URL": self.api_url,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_PREFETCH_SECONDS": "1",
            "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.2",
        }

    def start(self) -> None:
        database = {"PREFECT_API_DATABASE_CONNECTION_URL": self.database_url} if self.database_url else {}
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
                env={**os.environ, **self.env, **database},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.is_healthy():
            assert self.process.poll() is None, (self.home / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url}/health", timeout=2):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def run_flow(
        self, project: Path, flow: str = "run_pipeline", env: Mapping[str, str] = {}, **parameters: object
    ) -> tuple[str, str]:
        """Run a flow, a function in the module of the same name, and return its final state's name and message."""
        log = self.home / "flows.log"
        if self.flow_forks is None:
            with log.open("wb") as stderr:
                self.flow_forks = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.flow_forks"],
                    env=flow_env(**self.env),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
        assert self.flow_forks.stdin is not None
        assert self.flow_forks.stdout is not None
        run = {"flow": flow, "parameters": parameters, "folder": str(project), "env": flow_env(**self.env, **env)}
        self.flow_forks.stdin.write(f"{json.dumps(run)}\n")
        self.flow_forks.stdin.flush()
        reply = self.flow_forks.stdout.readline()
        assert reply.strip(), log.read_text()[-4000:]
        name, message = json.loads(reply)
        return name, message

    def stop_flow_forks(self) -> None:
        if self.flow_forks is not None:
            self.flow_forks.communicate()

    def post(self, path: str, items: list[Any] | None = None, **body: Any) -> Any:
        """Post a filter or a change, with fields or a list as JSON, and return the JSON of the response."""
        for _ in range(100):
            response = httpx.post(f"{self.api_url}/{path}", json=items or body, timeout=30)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # SQLite is busy; Prefect's client retries, too
                break
            time.sleep(0.1)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def flow_runs(self) -> list[dict[str, Any]]:
        """All runs, the latest first."""
        runs: list[dict[str, Any]] = self.post("flow_runs/filter", sort="START_TIME_DESC")
        return runs

    def latest_run(self) -> dict[str, Any]:
        return self.flow_runs()[0]

    def unfinished_runs(self) -> list[str]:
        """Names of the runs and tasks that the server considers unfinished."""
        final = {*FINAL_STATES, "SCHEDULED"}
        tasks = [task for task in self.post("task_runs/filter") if task["state_name"] != "NotReady"]  # not started
        return [run["name"] for run in [*self.flow_runs(), *tasks] if run["state_type"] not in final]

    def task_runs(self, flow_run_id: str) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.post("task_runs/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        return runs

    def task_states(self, flow_run_id: str) -> dict[str, str]:
        """The name of each task's state."""
        return {task["name"]: task["state_name"] for task in self.task_runs(flow_run_id)}

    def attempts(self, flow_run_id: str) -> dict[str, int]:
        """How often each task was started."""
        return {task["name"]: task["run_count"] for task in self.task_runs(flow_run_id)}

    def artifacts(self, flow_run_id: str) -> dict[str, dict[str, Any]]:
        """The artifacts of a run by key."""
        artifacts = self.post("artifacts/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        return {artifact["key"]: artifact for artifact in artifacts}


def make_empty_database(home: Path) -> Path:
    """Create the database of a server below `home`, unless another process of the tests has, and return its path.

    A server with a copy of it starts in less than half the time, since it has no migrations to run.
    """
    database = home / "prefect.db"
    with FileLock(home.with_suffix(".lock")):
        if not database.exists():
            partial = home.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            env = {**os.environ, **DEFAULT_SETTINGS, "PREFECT_HOME": str(partial)}
            subprocess.run([PREFECT, "server", "database", "upgrade", "-y"], env=env, check=True, capture_output=True)
            partial.rename(home)
    return database


@contextlib.contextmanager
def prefect_server(
    home: Path, database_url: str | None = None, empty_database: Path | None = None
) -> Iterator[PrefectServer]:
    """Start a server for a block and kill it at the end, which is faster than its own shutdown.

    Args:
        home: its folder, which exists and is empty.
        database_url: of PostgreSQL, instead of SQLite in `home`.
        empty_database: from `make_empty_database`, to save the migrations.

    """
    if empty_database:
        shutil.copy(empty_database, home)
    server = PrefectServer(home, free_port(), database_url)
    server.start()
    try:
        yield server
    finally:
        server.stop_flow_forks()
        server.kill()
