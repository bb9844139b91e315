"""A Prefect server, a work pool and a worker for one machine: python -m flows.server

Runs, logs and artifacts lie in .prefect/ (SQLite). A team's own server is told by PREFECT_API_URL: then only the
deployments and the worker are started here.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)

POOL = "boxline"
PREFECT = Path(sys.executable).with_name("prefect")
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # In memory, as they are otherwise, a server that is started again knows no run's claim to its deployment: it ends
    # the runs that go on, and lets no other ones begin.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}
"""Of a server, in its environment, where nothing else is said."""

START_SECONDS = 120
STOP_SECONDS = 20


class ServerError(Exception):
    """The server did not start."""


def serve() -> int:
    """Start everything and wait for Ctrl-C, or for a part to end; return the exit code."""
    os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").resolve()))
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    parts = []
    try:
        if "PREFECT_API_URL" not in os.environ:
            port = os.environ.get("PREFECT_SERVER_API_PORT", "4200")
            _require_free(int(port))
            os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            parts.append(_start("server", "start", "--host", "127.0.0.1", "--port", port))
            _wait_for(parts[0], os.environ["PREFECT_API_URL"])
        if subprocess.run([PREFECT, "work-pool", "inspect", POOL], check=False, capture_output=True).returncode:
            _run("work-pool", "create", POOL, "--type", "process")
        _run("--no-prompt", "deploy", "--all")
        parts.append(_start("worker", "start", "--pool", POOL))
        address = os.environ["PREFECT_API_URL"].removesuffix("/api")
        logger.info("Boxline runs by itself now: %s shows how. Ctrl-C ends it.", address)
        return _wait_for_an_end(parts)
    except subprocess.CalledProcessError as error:
        logger.error("Error: `%s` failed:\n%s", " ".join(map(str, error.cmd)), error.stdout)
        return 1
    except ServerError as error:
        logger.error("Error: %s", error)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for part in reversed(parts):
            _end(part)


def _start(*words: str) -> "subprocess.Popen[bytes]":
    # In a group of its own: Ctrl-C is for this process, which ends the parts in their order.
    return subprocess.Popen([PREFECT, *words], start_new_session=True)


def _run(*words: str) -> None:
    subprocess.run([PREFECT, *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _require_free(port: int) -> None:
    """Raises ServerError where somebody listens: that one would answer in place of a server that cannot start."""
    with socket.socket() as client:
        if client.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerError(
                f"127.0.0.1:{port} is in use by {_listener(port)}. End that one if a kill left it behind, name another "
                f"port by PREFECT_SERVER_API_PORT, or use it: PREFECT_API_URL=http://127.0.0.1:{port}/api make server"
            )


def _listener(port: int) -> str:
    """The process that listens at a port, for messages."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"process {connection.pid} ({' '.join(psutil.Process(connection.pid).cmdline())})"
    return "a process of somebody else"


def _wait_for(server: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError("the server ended at once; what it said stands above.")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise ServerError(f"the server at {address} did not answer within {START_SECONDS} s.")


def _wait_for_an_end(parts: "list[subprocess.Popen[bytes]]") -> int:
    while all(part.poll() is None for part in parts):
        time.sleep(0.5)
    logger.error("Error: server or worker ended; so does everything. `make server` starts it again.")
    return 1


def _end(part: "subprocess.Popen[bytes]") -> None:
    """A worker ends its runs first, or is ended with them."""
    part.send_signal(signal.SIGTERM)
    try:
        part.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(part.pid, signal.SIGKILL)
        part.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has it ignore Ctrl-C, as in the background
        signal.signal(number, signal.default_int_handler)
    sys.exit(serve())
