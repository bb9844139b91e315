"""Classification of literal error messages; tests/flows/test_failures_of_dvc.py provokes them with DVC itself."""

import pytest

from flows.failures import (
    RETRY_LIMITS,
    TRAINING_RETRY_LIMITS,
    Failure,
    FailureKind,
    RetryState,
    classify_failure,
)
from flows.processes import CommandResult

TROUBLES = "\n\nHaving any troubles? Hit us up at https://dvc.org/support, we are always happy to help!\n"
MD5 = "d7f986677d9f563bd1794b09d82206a3"


def kind_of(output: str, return_code: int = 255, oom_kills: int = 0) -> FailureKind | None:
    failure = classify_failure(CommandResult(return_code, output, oom_kills=oom_kills))
    return failure and failure.kind


def stage_output(code: int, output: str = "") -> str:
    """What DVC prints for a stage that prints `output` and exits with `code`."""
    return (
        f"Running stage 'tables@coco':\n> stages/run tables coco\n{output}"
        f"ERROR: failed to reproduce 'tables@coco': failed to run: stages/run tables coco, exited with {code}\n"
    )


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        # S3: SeaweedFS and botocore
        (
            "ERROR: unexpected error - The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.: An error occurred (SignatureDoesNotMatch) when calling the "
            "ListObjectsV2 operation: The request signature we calculated does not match the signature you provided.",
            FailureKind.DENIED,
        ),
        (
            "ERROR: unexpected error - The access key ID you provided does not exist in our records.: An error "
            "occurred (InvalidAccessKeyId) when calling the ListObjectsV2 operation: The access key ID you provided "
            "does not exist in our records.",
            FailureKind.DENIED,
        ),
        (
            "ERROR: unexpected error - Forbidden: An error occurred (403) when calling the HeadObject operation: "
            "Forbidden",
            FailureKind.DENIED,
        ),
        (
            "ERROR: unexpected error - The specified bucket does not exist: An error occurred (NoSuchBucket) when "
            "calling the ListObjectsV2 operation: The specified bucket does not exist",
            FailureKind.DENIED,
        ),
        ("ERROR: unexpected error - Unable to locate credentials", FailureKind.DENIED),
        ("ERROR: unexpected error - The config profile (team) could not be found", FailureKind.DENIED),
        (
            'ERROR: unexpected error - Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket/x"',
            FailureKind.NETWORK,
        ),
        (
            'ERROR: unexpected error - Read timeout on endpoint URL: "http://127.0.0.1:8333/dvc/files/md5/d7/f9"',
            FailureKind.NETWORK,
        ),
        (
            "ERROR: unexpected error - Please reduce your request rate.: An error occurred (SlowDown) when calling "
            "the PutObject operation: Please reduce your request rate.",
            FailureKind.NETWORK,
        ),
        (
            "ERROR: unexpected error - An error occurred (503) when calling the HeadObject operation: Unavailable",
            FailureKind.NETWORK,
        ),
        # SSH
        (
            "ERROR: unexpected error - Permission denied for user root on host 127.0.0.1: Permission denied for user "
            "root on host 127.0.0.1",
            FailureKind.DENIED,
        ),
        ("ERROR: unexpected error - [Errno 111] Connect call failed ('127.0.0.1', 9)", FailureKind.NETWORK),
        ("ERROR: unexpected error - Connection lost: Connection lost", FailureKind.NETWORK),
        # HTTP
        (
            f"ERROR: failed to transfer '{MD5}' - Cannot connect to host 127.0.0.1:9 ssl:default [Connect call failed "
            "('127.0.0.1', 9)]: [Errno 111] Connect call failed ('127.0.0.1', 9)\n"
            "ERROR: failed to push data to the cloud - 1 files failed to upload\n",
            FailureKind.NETWORK,
        ),
        (
            f"ERROR: failed to transfer '{MD5}' - Unauthorized\n"
            "ERROR: failed to push data to the cloud - 1 files failed to upload\n",
            FailureKind.DENIED,
        ),
        # disks
        (
            "ERROR: unexpected error - [Errno 13] Permission denied: '/srv/remote/files'" + TROUBLES,
            FailureKind.DENIED,
        ),
        (
            f"ERROR: failed to transfer '{MD5}' - [Errno 28] No space left on device: '/srv/a' -> '/b'\n",
            FailureKind.DISK_FULL,
        ),
        (f"ERROR: failed to transfer '{MD5}' - [Errno 27] File too large: '/srv/a' -> '/b'\n", FailureKind.DISK_FULL),
        ("ERROR: unexpected error - [Errno 122] Disk quota exceeded: '/srv/a'" + TROUBLES, FailureKind.DISK_FULL),
        ("ERROR: unexpected error - database or disk is full" + TROUBLES, FailureKind.DISK_FULL),
        # locks
        (
            "ERROR: Unable to acquire lock. Most likely another DVC process is running or was terminated abruptly.\n",
            FailureKind.LOCKED,
        ),
        (
            "ERROR: failed to reproduce 'after': '/srv/slow.txt' is busy, it is being blocked by:\n"
            "  (PID 21319): dvc repro --single-item slow\n\nIf there are no processes with such PIDs, you can "
            "manually remove '/srv/.dvc/tmp/rwlock' and try again.\n",
            FailureKind.LOCKED,
        ),
        # errors of configuration that follow "failed to push" or "failed to pull"
        (
            "ERROR: failed to push data to the cloud - config file error: no remote specified in /srv. Create a "
            "default remote with\n    dvc remote add -d <remote name> <remote url>\n",
            FailureKind.INPUT,
        ),
        (
            "ERROR: failed to push data to the cloud - config file error: remote 'nope' doesn't exist\n",
            FailureKind.INPUT,
        ),
        (
            f"WARNING: Some of the cache files do not exist neither locally nor on remote. Missing cache files:\n"
            f"md5: {MD5}\nEverything is up to date.\nERROR: failed to pull data from the cloud - Checkout failed for "
            "following targets:\ngood.txt\nIs your cache up to date?\n<https://error.dvc.org/missing-files>\n",
            FailureKind.INPUT,
        ),
        ("ERROR: failed to reproduce 'two': dependency 'missing.txt' does not exist\n", FailureKind.INPUT),
        ("ERROR: Stage 'nostage' not found inside 'dvc.yaml' file\n", FailureKind.INPUT),
        # bugs
        ("ERROR: failed to reproduce 'noout': output 'never.txt' does not exist\n", FailureKind.BUG),
        ("ERROR: unexpected error - 'NoneType' object has no attribute 'name'" + TROUBLES, FailureKind.BUG),
        ("", FailureKind.BUG),
    ],
)
def test_dvc_messages_are_classified(output: str, kind: FailureKind) -> None:
    assert kind_of(output) is kind


NO_RIGHTS = "Please make sure you have the correct access rights\nand the repository exists.\n"


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("ssh: connect to host team port 22: Connection refused\nfatal: Could not read from\n", FailureKind.NETWORK),
        ("fatal: unable to access 'https://team/': Could not resolve host: team\n", FailureKind.NETWORK),
        ("fatal: unable to access 'http://team/': Failed to connect to team port 80 after 0 ms\n", FailureKind.NETWORK),
        ("fatal: unable to access 'https://team/': The requested URL returned error: 503\n", FailureKind.NETWORK),
        ("fatal: unable to connect to team: errno=Connection refused\n", FailureKind.NETWORK),
        (
            "git@team: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n",
            FailureKind.DENIED,
        ),
        ("Host key verification failed.\nfatal: Could not read from remote repository.\n\n", FailureKind.DENIED),
        ("fatal: could not read Username for 'https://team': No such device or address\n", FailureKind.DENIED),
        ("fatal: unable to access 'https://team/': The requested URL returned error: 403\n", FailureKind.DENIED),
        ("fatal: 'team' does not appear to be a git repository\nfatal: Could not read from\n\n", FailureKind.INPUT),
        ("fatal: bad object HEAD\n", FailureKind.BUG),
    ],
)
def test_git_messages_are_classified(output: str, kind: FailureKind) -> None:
    failure = classify_failure(CommandResult(128, output + NO_RIGHTS))
    assert failure is not None
    assert failure.kind is kind
    assert failure.reason == next(line for line in output.splitlines() if line.startswith(("ssh", "fatal")))


@pytest.mark.parametrize(
    "output",
    [
        "ERROR: failed to reproduce 'pack': output 'data/403/504.parquet' does not exist\n",
        "ERROR: unexpected error - 503 of 1403 rows" + TROUBLES,
        "A   data/Forbidden/SlowDown.txt\nWARNING: Connection reset by peer, trying again\n"
        "ERROR: unexpected error - list index out of range" + TROUBLES,
        "Running stage 'noout':\n> train\nhttp://host responded with 403 Forbidden; the next try timed out\n"
        "ERROR: No space left on device, so no cache\n"
        "ERROR: failed to reproduce 'noout': output 'never.txt' does not exist\n",
    ],
)
def test_messages_in_other_output_and_codes_in_paths_are_ignored(output: str) -> None:
    assert kind_of(output) is FailureKind.BUG


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, FailureKind.INPUT),
        (12, FailureKind.OUT_OF_MEMORY),
        (28, FailureKind.DISK_FULL),
        (75, FailureKind.NETWORK),
        (70, FailureKind.BUG),
        (2, FailureKind.BUG),
        (127, FailureKind.BUG),
        (-11, FailureKind.BUG),
        (-9, FailureKind.KILLED),
        (137, FailureKind.KILLED),
        (-15, FailureKind.KILLED),
        (143, FailureKind.KILLED),
        (130, FailureKind.KILLED),
    ],
)
def test_exit_code_takes_precedence_over_messages(code: int, kind: FailureKind) -> None:
    output = "Error: it timed out: 403 Forbidden, No space left on device, Unable to acquire lock\n"
    assert kind_of(stage_output(code, output)) is kind
    assert kind_of(output, code) is kind


def test_exit_code_1_after_a_traceback_is_an_error_in_the_code() -> None:
    output = (
        "Traceback (most recent call last):\n  ...\nModuleNotFoundError: No module named 'pipeline.stages.tabels'\n"
    )
    assert classify_failure(CommandResult(255, stage_output(1, output))) == Failure(
        FailureKind.BUG, "ModuleNotFoundError: No module named 'pipeline.stages.tabels'"
    )


def test_kill_by_the_oom_killer_is_out_of_memory() -> None:
    assert kind_of(stage_output(-9), oom_kills=1) is FailureKind.OUT_OF_MEMORY
    assert kind_of("", -9, oom_kills=1) is FailureKind.OUT_OF_MEMORY
    assert kind_of(stage_output(1, "Error: bad\n"), oom_kills=1) is FailureKind.INPUT


def test_exit_code_of_a_multiline_command_is_found() -> None:
    output = "ERROR: failed to reproduce 'two': failed to run: first \\\n  --second, exited with 75\n"
    assert kind_of(output) is FailureKind.NETWORK


def test_success_is_no_failure_whatever_the_output() -> None:
    assert classify_failure(CommandResult(0, "ERROR: failed to transfer 'a' - but then it worked\n")) is None


def test_timeout_takes_precedence_over_everything() -> None:
    timeout = Failure(FailureKind.TIMEOUT, "The command and all its child processes were terminated")
    assert classify_failure(CommandResult(0, "", timed_out=True)) == timeout
    assert classify_failure(CommandResult(-9, "ERROR: Unable to acquire lock.", timed_out=True, oom_kills=1)) == timeout


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (stage_output(1, "Error: first\nError: a.csv, line 3: no.\n"), "Error: a.csv, line 3: no."),
        (
            stage_output(70, "Traceback (most recent call last):\n  ...\nkeras.errors.ShapeError: 3 and 4\n"),
            "keras.errors.ShapeError: 3 and 4",
        ),
        (
            f"A  x.txt\nERROR: failed to transfer '{MD5}' - Unauthorized\nERROR: failed to push data to the cloud\n",
            f"ERROR: failed to transfer '{MD5}' - Unauthorized",
        ),
        ("one\n  two  \n\n", "two"),
        ("\n", "no output"),
    ],
)
def test_reason_is_the_most_specific_error_line(output: str, reason: str) -> None:
    failure = classify_failure(CommandResult(1, output))
    assert failure is not None
    assert failure.reason == reason


def retries(limits: dict[FailureKind, int], *kinds: FailureKind) -> list[bool]:
    """Whether a task is retried after each of these failures."""
    state = RetryState(limits)
    decisions = []
    for kind in kinds:
        state.record(kind)
        decisions.append(state.should_retry())
    return decisions


@pytest.mark.parametrize(("kind", "limit"), [(FailureKind.NETWORK, 5), (FailureKind.LOCKED, 8)])
def test_transient_failures_are_retried_up_to_their_limit(kind: FailureKind, limit: int) -> None:
    assert retries(RETRY_LIMITS, *[kind] * (limit + 1)) == [True] * limit + [False]


def test_each_kind_of_failure_has_its_own_limit() -> None:
    kinds = [FailureKind.NETWORK] * 5 + [FailureKind.LOCKED] * 8
    assert retries(RETRY_LIMITS, *kinds, FailureKind.NETWORK) == [True] * 13 + [False]


def test_only_trainings_are_retried_once_when_out_of_memory() -> None:
    assert retries(
        TRAINING_RETRY_LIMITS, FailureKind.OUT_OF_MEMORY, FailureKind.NETWORK, FailureKind.OUT_OF_MEMORY
    ) == [True, True, False]
    assert retries(RETRY_LIMITS, FailureKind.OUT_OF_MEMORY) == [False]


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - TRAINING_RETRY_LIMITS.keys()))
def test_lasting_failures_are_not_retried(kind: FailureKind) -> None:
    assert retries(TRAINING_RETRY_LIMITS, kind) == [False]


def test_nothing_is_retried_without_a_recorded_failure() -> None:
    state = RetryState(RETRY_LIMITS)
    assert not state.should_retry()
    state.record(FailureKind.NETWORK)
    state.clear()
    assert (state.last_kind, state.should_retry()) == (None, False)
