"""A real Prefect server on loopback, and what a test asks it."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from flows.server import SETTINGS
from tests.support.servers import free_port

PREFECT = Path(sys.executable).with_name("prefect")


@dataclass
class PrefectServer:
    """A server with its database in `home`, or at `database_url`. `variables` lead a process to it."""

    home: Path
    port: int
    database_url: str | None = None
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def variables(self) -> dict[str, str]:
        return {
            **SETTINGS,
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
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
                env={**os.environ, **self.variables, **database},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self.is_up():
            assert self.process.poll() is None, (self.home / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health", timeout=2):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self.process.wait()

    def ask(self, path: str, items: list[Any] | None = None, **body: Any) -> Any:
        """What the API answers to a filter or an order."""
        for _ in range(100):
            response = httpx.post(f"http://127.0.0.1:{self.port}/api/{path}", json=items or body, timeout=30)
            if (
                response.status_code != httpx.codes.SERVICE_UNAVAILABLE
            ):  # SQLite is busy; Prefect's client asks again too
                break
            time.sleep(0.1)
        assert response.is_success, response.text
        return response.json() if response.content else None

    def flow_runs(self, **states: Any) -> list[dict[str, Any]]:
        """All runs, the latest first."""
        runs: list[dict[str, Any]] = self.ask("flow_runs/filter", sort="START_TIME_DESC")
        return runs

    def unfinished(self) -> list[str]:
        """Runs and tasks that the server takes for unfinished."""
        final = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED", "SCHEDULED"}
        tasks = [task for task in self.ask("task_runs/filter") if task["state_name"] != "NotReady"]  # never to be run
        return [run["name"] for run in [*self.flow_runs(), *tasks] if run["state_type"] not in final]

    def task_states(self, flow_run_id: str) -> dict[str, str]:
        """By task, the name of the state that it is in."""
        tasks = self.ask("task_runs/filter", flow_runs={"id": {"any_": [flow_run_id]}})
        return {task["name"]: task["state_name"] for task in tasks}


@contextlib.contextmanager
def prefect_server(home: Path, database_url: str | None = None) -> Iterator[PrefectServer]:
    """Started for a block, and killed at its end: it takes a while to end by itself."""
    server = PrefectServer(home, free_port(), database_url)
    server.start()
    try:
        yield server
    finally:
        server.kill()
