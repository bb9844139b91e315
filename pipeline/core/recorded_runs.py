"""Names of the branch of recorded runs, which `boxline record` writes and flows read."""

RUNS_BRANCH = "runs"

RUN_REVISIONS = (RUNS_BRANCH, f"origin/{RUNS_BRANCH}")
"""Revisions of the last recorded run, in order of precedence: a clone has only the second until it records a run."""

RUN_FILE = "run.json"
"""File of a recorded run with its commit, times, parameters, hashes of data, and metrics."""
