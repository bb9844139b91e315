"""The environment of `make server`, checked before anything starts."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.server import ServerError, check_environment, server_port
from tests.support.tiny_project import PROJECT

PORTS = ["", "abc", "99999", "0", "-1", "65536", "4200.0", " 4200", "4200\n", "9" * 5000, "\uff14\uff12", "0x1F"]


@pytest.mark.parametrize("port", PORTS)
def test_variable_that_is_no_port_is_named(port: str) -> None:
    with pytest.raises(ServerError) as raised:
        check_environment({"PREFECT_SERVER_API_PORT": port})
    assert str(raised.value) == (
        f"PREFECT_SERVER_API_PORT: received {port!r}, expected a port from 1 to 65535, such as 4200."
    )


@given(st.integers(-10, 70_000))
def test_ports_and_no_other_numbers_are_accepted(number: int) -> None:
    environment = {"PREFECT_SERVER_API_PORT": str(number)}
    if 1 <= number <= 65535:
        assert server_port(environment) == number
    else:
        with pytest.raises(ServerError):
            server_port(environment)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "abc",
        "127.0.0.1:4200",
        "http://",
        "http:///api",
        "ftp://host/api",
        "http://a b",
        "http://a\n",
        "http://[a/api",
    ]
    + [f"http://127.0.0.1:{port}/api" for port in ("abc", "99999", "0", "-1")],
)
def test_variable_that_is_no_address_is_named(url: str) -> None:
    with pytest.raises(ServerError) as raised:
        check_environment({"PREFECT_API_URL": url})
    assert str(raised.value) == (
        f"PREFECT_API_URL: received {url!r}, expected the address of a server, such as http://127.0.0.1:4200/api. "
        "Unset it to start one here."
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PREFECT_SERVER_API_PORT", "abc", "received 'abc', expected a port from 1 to 65535, such as 4200."),
        ("PREFECT_LOGGING_LEVEL", "loud", "received 'LOUD'; Input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or"),
        ("PREFECT_API_REQUEST_TIMEOUT", "soon", "received 'soon'; Input should be a valid number, unable to parse"),
    ],
)
def test_server_ends_with_one_line_of_ours(variable: str, value: str, message: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(PROJECT), variable: value}
    argv = [sys.executable, "-m", "flows.server"]
    result = subprocess.run(argv, cwd=PROJECT, env=env, check=False, capture_output=True, encoding="utf-8")
    assert (result.returncode, result.stdout) == (1, "")
    *others, line = result.stderr.splitlines()
    assert line.startswith(f"Error: {variable}: {message}")
    assert "Traceback" not in result.stderr
    assert not others or others[0].startswith("Failed to initialize plugins")  # Prefect's own, at its import
