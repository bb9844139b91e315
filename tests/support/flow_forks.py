"""Runs flows in forks of this process, which has imported them: the import of Prefect takes seconds.

python -m tests.support.flow_forks

A line of JSON on stdin names a flow, its parameters, its folder and its environment. The reply is a line on
stdout: the name and the message of the final state as JSON, or empty if the run ended without one. Prefect keeps the
settings of the environment in which this process started.
"""

import gc
import importlib
import json
import os
import sys
from typing import Any

import flows.progress
import flows.run_pipeline
import flows.tasks
import flows.watch_sources


def main() -> None:
    """Run the flow of each line in a fork, and print its final state."""
    flows.tasks.FIRST_RETRY_DELAY_SECONDS = 0.1
    flows.progress.ARTIFACT_DELAY_SECONDS = 1
    gc.freeze()  # the collector of a fork would copy every page
    for line in sys.stdin:
        result_read_fd, result_write_fd = os.pipe()
        if not os.fork():
            run(result_write_fd, **json.loads(line))
            return  # the fork exits as any program does
        os.close(result_write_fd)
        with os.fdopen(result_read_fd) as file:
            sys.stdout.write(f"{file.read()}\n")
        os.wait()
        sys.stdout.flush()


def run(result_write_fd: int, flow: str, parameters: dict[str, Any], folder: str, env: dict[str, str]) -> None:
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    state = getattr(importlib.import_module(f"flows.{flow}"), flow)(**parameters, return_state=True)
    with os.fdopen(result_write_fd, "w") as file:
        file.write(json.dumps([state.name, state.message]))


if __name__ == "__main__":
    main()
