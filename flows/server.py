"""Prefect on one machine: a server, a work pool, a worker and the deployments. Run with python -m flows.server.

The server stores runs, logs and artifacts in .prefect/ (SQLite). If PREFECT_API_URL names a team's own server, only
the deployments and a worker are started here.
"""

import contextlib
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from pydantic import ValidationError

from pipeline.core.terminal import escape_unencodable_output

logger = logging.getLogger(__name__)

POOL = "boxline"
PORT_VARIABLE = "PREFECT_SERVER_API_PORT"
DEFAULT_PORT = "4200"
PREFECT = Path(sys.executable).with_name("prefect")
DEFAULT_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # The default storage is in memory: after a restart the server would have lost the leases of running runs on their
    # deployments' concurrency slots, would end those runs and would start no others.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}
"""Environment variables for a server, unless they are set already."""

START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 20


class ServerError(Exception):
    """The server did not start."""


def serve() -> int:
    """Start server, work pool, deployments and worker; stop all of them on Ctrl-C or if one ends.

    Returns:
        The exit code.

    """
    os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").resolve()))
    for name, value in DEFAULT_SETTINGS.items():
        os.environ.setdefault(name, value)
    services = []
    try:
        check_environment(os.environ)
        if "PREFECT_API_URL" not in os.environ:
            port = server_port(os.environ)
            _require_free(port)
            os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            services.append(_start("server", "start", "--host", "127.0.0.1", "--port", str(port)))
            _wait_until_healthy(services[0], os.environ["PREFECT_API_URL"])
        if subprocess.run([PREFECT, "work-pool", "inspect", POOL], check=False, capture_output=True).returncode:
            _run("work-pool", "create", POOL, "--type", "process")
        _run("--no-prompt", "deploy", "--all")
        services.append(_start("worker", "start", "--pool", POOL))
        url = os.environ["PREFECT_API_URL"].removesuffix("/api")
        logger.info("Boxline is running; see %s. Press Ctrl-C to stop.", url)
        return _wait_until_one_ends(services)
    except subprocess.CalledProcessError as error:
        logger.error("Error: `%s` failed:\n%s", " ".join(map(str, error.cmd)), error.stdout)
        return 1
    except ServerError as error:
        logger.error("Error: %s", error)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for service in reversed(services):
            _stop(service)


def server_port(environment: Mapping[str, str]) -> int:
    """Return the port of the server that is started here.

    Raises:
        ServerError: if the variable holds none.

    """
    port = environment.get(PORT_VARIABLE, DEFAULT_PORT)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ServerError(
            f"{PORT_VARIABLE}: received {port!r}, expected a port from 1 to 65535, such as {DEFAULT_PORT}."
        )
    return int(port)


def check_environment(environment: Mapping[str, str]) -> None:
    """Check the variables that choose the server, and then all that Prefect reads.

    Raises:
        ServerError: for the first variable with a value that it cannot have.

    """
    server_port(environment)
    url = environment.get("PREFECT_API_URL")
    if url is not None and not _is_server_address(url):
        raise ServerError(
            f"PREFECT_API_URL: received {url!r}, expected the address of a server, such as "
            f"http://127.0.0.1:{DEFAULT_PORT}/api. Unset it to start one here."
        )
    try:
        from prefect.settings import Settings

        Settings()
    except ValidationError as error:
        raise ServerError(_describe_setting(error, environment)) from None


def _is_server_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_valid_port = parts.port != 0
    except ValueError:  # of the port or of a host in brackets
        return False
    is_http = parts.scheme in ("http", "https")
    return is_http and has_valid_port and bool(parts.hostname) and not re.search(r"\s", url)


def _describe_setting(error: ValidationError, environment: Mapping[str, str]) -> str:
    """One line about a setting, with the variable that it comes from, which Prefect's own message lacks."""
    details = error.errors(include_url=False)[0]
    setting, value = str(details["loc"][-1]), details["input"]
    variables = [
        name
        for name, text in environment.items()
        if name.startswith("PREFECT_") and name.endswith(setting.upper()) and text.lower() == str(value).lower()
    ]
    name = variables[0] if variables else f"{error.title}.{setting} in a profile of Prefect"
    return f"{name}: received {value!r}; {' '.join(details['msg'].split())}."


def _start(*args: str) -> "subprocess.Popen[bytes]":
    # In a group of its own: Ctrl-C must reach only this process, which stops the services in order.
    return subprocess.Popen([PREFECT, *args], start_new_session=True)


def _run(*args: str) -> None:
    argv = [str(PREFECT), *args]
    subprocess.run(
        argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )


def _require_free(port: int) -> None:
    """Raise ServerError if the port is in use: its server would respond in place of ours, which cannot start."""
    with socket.socket() as client:
        if client.connect_ex(("127.0.0.1", port)) == 0:
            raise ServerError(
                f"127.0.0.1:{port} is in use by {_listener(port)}. Stop that process if a kill left it behind, choose "
                f"another port (PREFECT_SERVER_API_PORT=4201 make server), or use that server: "
                f"PREFECT_API_URL=http://127.0.0.1:{port}/api make server"
            )


def _listener(port: int) -> str:
    """Return a description of the process that listens on a port."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"process {connection.pid} ({' '.join(psutil.Process(connection.pid).cmdline())})"
    return "a process of another user"


def _wait_until_healthy(server: "subprocess.Popen[bytes]", api_url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError("the server exited at once; see its output above.")
        try:
            with urllib.request.urlopen(f"{api_url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise ServerError(f"the server at {api_url} did not respond within {START_TIMEOUT_SECONDS} s.")


def _wait_until_one_ends(services: "list[subprocess.Popen[bytes]]") -> int:
    while all(service.poll() is None for service in services):
        time.sleep(0.5)
    logger.error("Error: the server or the worker exited, so both are stopped. Run `make server` to restart them.")
    return 1


def _stop(service: "subprocess.Popen[bytes]") -> None:
    """Terminate a service, and kill it after a timeout. A worker terminates its runs first."""
    service.send_signal(signal.SIGTERM)
    try:
        service.wait(timeout=STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(service.pid, signal.SIGKILL)
        service.wait()


if __name__ == "__main__":
    escape_unencodable_output()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    sys.exit(serve())
