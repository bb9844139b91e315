"""Kinds of failures by what commands said, word for word; tests/flows/test_failures_of_dvc.py asks DVC itself."""

import pytest

from flows.failures import RETRIES, Failure, Kind, failure_of
from flows.processes import Ended

TROUBLES = "\n\nHaving any troubles? Hit us up at https://dvc.org/support, we are always happy to help!\n"
MD5 = "d7f986677d9f563bd1794b09d82206a3"


def kind_of(said: str, return_code: int = 255, oom_kills: int = 0) -> Kind | None:
    failure = failure_of(Ended(return_code, said, oom_kills=oom_kills))
    return failure and failure.kind


def of_stage(code: int, said: str = "") -> str:
    return (
        f"Running stage 'tables@coco':\n> stages/run tables coco\n{said}"
        f"ERROR: failed to reproduce 'tables@coco': failed to run: stages/run tables coco, exited with {code}\n"
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        # S3, as SeaweedFS and botocore have it
        (
            "ERROR: unexpected error - The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.: An error occurred (SignatureDoesNotMatch) when calling the "
            "ListObjectsV2 operation: The request signature we calculated does not match the signature you provided.",
            Kind.DENIED,
        ),
        (
            "ERROR: unexpected error - The access key ID you provided does not exist in our records.: An error "
            "occurred (InvalidAccessKeyId) when calling the ListObjectsV2 operation: The access key ID you provided "
            "does not exist in our records.",
            Kind.DENIED,
        ),
        (
            "ERROR: unexpected error - Forbidden: An error occurred (403) when calling the HeadObject operation: "
            "Forbidden",
            Kind.DENIED,
        ),
        (
            "ERROR: unexpected error - The specified bucket does not exist: An error occurred (NoSuchBucket) when "
            "calling the ListObjectsV2 operation: The specified bucket does not exist",
            Kind.DENIED,
        ),
        ("ERROR: unexpected error - Unable to locate credentials", Kind.DENIED),
        ("ERROR: unexpected error - The config profile (team) could not be found", Kind.DENIED),
        (
            'ERROR: unexpected error - Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket/x"',
            Kind.NETWORK,
        ),
        (
            'ERROR: unexpected error - Read timeout on endpoint URL: "http://127.0.0.1:8333/dvc/files/md5/d7/f9"',
            Kind.NETWORK,
        ),
        (
            "ERROR: unexpected error - Please reduce your request rate.: An error occurred (SlowDown) when calling "
            "the PutObject operation: Please reduce your request rate.",
            Kind.NETWORK,
        ),
        (
            "ERROR: unexpected error - An error occurred (503) when calling the HeadObject operation: Unavailable",
            Kind.NETWORK,
        ),
        # SSH
        (
            "ERROR: unexpected error - Permission denied for user root on host 127.0.0.1: Permission denied for user "
            "root on host 127.0.0.1",
            Kind.DENIED,
        ),
        ("ERROR: unexpected error - [Errno 111] Connect call failed ('127.0.0.1', 9)", Kind.NETWORK),
        ("ERROR: unexpected error - Connection lost: Connection lost", Kind.NETWORK),
        # HTTP
        (
            f"ERROR: failed to transfer '{MD5}' - Cannot connect to host 127.0.0.1:9 ssl:default [Connect call failed "
            "('127.0.0.1', 9)]: [Errno 111] Connect call failed ('127.0.0.1', 9)\n"
            "ERROR: failed to push data to the cloud - 1 files failed to upload\n",
            Kind.NETWORK,
        ),
        (
            f"ERROR: failed to transfer '{MD5}' - Unauthorized\n"
            "ERROR: failed to push data to the cloud - 1 files failed to upload\n",
            Kind.DENIED,
        ),
        # disks
        (
            "ERROR: unexpected error - [Errno 13] Permission denied: '/srv/remote/files'" + TROUBLES,
            Kind.DENIED,
        ),
        (f"ERROR: failed to transfer '{MD5}' - [Errno 28] No space left on device: '/srv/a' -> '/b'\n", Kind.DISK_FULL),
        (f"ERROR: failed to transfer '{MD5}' - [Errno 27] File too large: '/srv/a' -> '/b'\n", Kind.DISK_FULL),
        ("ERROR: unexpected error - [Errno 122] Disk quota exceeded: '/srv/a'" + TROUBLES, Kind.DISK_FULL),
        ("ERROR: unexpected error - database or disk is full" + TROUBLES, Kind.DISK_FULL),
        # locks
        (
            "ERROR: Unable to acquire lock. Most likely another DVC process is running or was terminated abruptly.\n",
            Kind.LOCKED,
        ),
        (
            "ERROR: failed to reproduce 'after': '/srv/slow.txt' is busy, it is being blocked by:\n"
            "  (PID 21319): dvc repro --single-item slow\n\nIf there are no processes with such PIDs, you can "
            "manually remove '/srv/.dvc/tmp/rwlock' and try again.\n",
            Kind.LOCKED,
        ),
        # what another try does not change, though "failed to push" and "failed to pull" stand before it
        (
            "ERROR: failed to push data to the cloud - config file error: no remote specified in /srv. Create a "
            "default remote with\n    dvc remote add -d <remote name> <remote url>\n",
            Kind.INPUT,
        ),
        ("ERROR: failed to push data to the cloud - config file error: remote 'nope' doesn't exist\n", Kind.INPUT),
        (
            f"WARNING: Some of the cache files do not exist neither locally nor on remote. Missing cache files:\n"
            f"md5: {MD5}\nEverything is up to date.\nERROR: failed to pull data from the cloud - Checkout failed for "
            "following targets:\ngood.txt\nIs your cache up to date?\n<https://error.dvc.org/missing-files>\n",
            Kind.INPUT,
        ),
        ("ERROR: failed to reproduce 'two': dependency 'missing.txt' does not exist\n", Kind.INPUT),
        ("ERROR: Stage 'nostage' not found inside 'dvc.yaml' file\n", Kind.INPUT),
        # nobody's fault but the code's
        ("ERROR: failed to reproduce 'noout': output 'never.txt' does not exist\n", Kind.CODE),
        ("ERROR: unexpected error - 'NoneType' object has no attribute 'name'" + TROUBLES, Kind.CODE),
        ("", Kind.CODE),
    ],
)
def test_what_dvc_says_tells_the_kind(said: str, kind: Kind) -> None:
    assert kind_of(said) is kind


NO_RIGHTS = "Please make sure you have the correct access rights\nand the repository exists.\n"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ssh: connect to host team port 22: Connection refused\nfatal: Could not read from\n", Kind.NETWORK),
        ("fatal: unable to access 'https://team/': Could not resolve host: team\n", Kind.NETWORK),
        ("fatal: unable to access 'http://team/': Failed to connect to team port 80 after 0 ms\n", Kind.NETWORK),
        ("fatal: unable to access 'https://team/': The requested URL returned error: 503\n", Kind.NETWORK),
        ("fatal: unable to connect to team: errno=Connection refused\n", Kind.NETWORK),
        ("git@team: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\n", Kind.DENIED),
        ("Host key verification failed.\nfatal: Could not read from remote repository.\n\n", Kind.DENIED),
        ("fatal: could not read Username for 'https://team': No such device or address\n", Kind.DENIED),
        ("fatal: unable to access 'https://team/': The requested URL returned error: 403\n", Kind.DENIED),
        ("fatal: 'team' does not appear to be a git repository\nfatal: Could not read from\n\n", Kind.INPUT),
        ("fatal: bad object HEAD\n", Kind.CODE),
    ],
)
def test_what_git_says_tells_the_kind(said: str, kind: Kind) -> None:
    failure = failure_of(Ended(128, said + NO_RIGHTS))
    assert failure is not None
    assert failure.kind is kind
    assert failure.reason == next(line for line in said.splitlines() if line.startswith(("ssh", "fatal")))


@pytest.mark.parametrize(
    "said",
    [
        "ERROR: failed to reproduce 'pack': output 'data/403/504.parquet' does not exist\n",
        "ERROR: unexpected error - 503 of 1403 rows" + TROUBLES,
        "A   data/Forbidden/SlowDown.txt\nWARNING: Connection reset by peer, trying again\n"
        "ERROR: unexpected error - list index out of range" + TROUBLES,
        "Running stage 'noout':\n> train\nhttp://host answered 403 Forbidden; the next try timed out\n"
        "ERROR: No space left on device, so no cache\n"
        "ERROR: failed to reproduce 'noout': output 'never.txt' does not exist\n",
    ],
)
def test_words_of_others_and_numbers_in_names_tell_nothing(said: str) -> None:
    assert kind_of(said) is Kind.CODE


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, Kind.INPUT),
        (12, Kind.OUT_OF_MEMORY),
        (28, Kind.DISK_FULL),
        (75, Kind.NETWORK),
        (70, Kind.CODE),
        (2, Kind.CODE),
        (127, Kind.CODE),
        (-11, Kind.CODE),
        (-9, Kind.KILLED),
        (137, Kind.KILLED),
        (-15, Kind.KILLED),
        (143, Kind.KILLED),
        (130, Kind.KILLED),
    ],
)
def test_the_exit_code_of_a_stage_or_command_counts_whatever_it_said(code: int, kind: Kind) -> None:
    said = "Error: it timed out: 403 Forbidden, No space left on device, Unable to acquire lock\n"
    assert kind_of(of_stage(code, said)) is kind
    assert kind_of(said, code) is kind


def test_python_that_did_not_even_begin_says_nothing_about_data() -> None:
    said = "Traceback (most recent call last):\n  ...\nModuleNotFoundError: No module named 'pipeline.stages.tabels'\n"
    assert failure_of(Ended(255, of_stage(1, said))) == Failure(
        Kind.CODE, "ModuleNotFoundError: No module named 'pipeline.stages.tabels'"
    )


def test_a_stage_that_linux_killed_for_memory_is_out_of_memory() -> None:
    assert kind_of(of_stage(-9), oom_kills=1) is Kind.OUT_OF_MEMORY
    assert kind_of("", -9, oom_kills=1) is Kind.OUT_OF_MEMORY
    assert kind_of(of_stage(1, "Error: bad\n"), oom_kills=1) is Kind.INPUT


def test_a_command_over_several_lines_has_an_exit_code_too() -> None:
    said = "ERROR: failed to reproduce 'two': failed to run: first \\\n  --second, exited with 75\n"
    assert kind_of(said) is Kind.NETWORK


def test_a_good_end_and_a_late_one() -> None:
    assert failure_of(Ended(0, "ERROR: failed to transfer 'a' - but then it worked\n")) is None
    too_late = Failure(Kind.TIME, "It was ended with everything that it had started")
    assert failure_of(Ended(0, "", timed_out=True)) == too_late
    assert failure_of(Ended(-9, "ERROR: Unable to acquire lock.", timed_out=True, oom_kills=1)) == too_late


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (of_stage(1, "Error: first\nError: a.csv, line 3: no.\n"), "Error: a.csv, line 3: no."),
        (
            of_stage(70, "Traceback (most recent call last):\n  ...\nkeras.errors.ShapeError: 3 and 4\n"),
            "keras.errors.ShapeError: 3 and 4",
        ),
        (
            f"A  x.txt\nERROR: failed to transfer '{MD5}' - Unauthorized\nERROR: failed to push data to the cloud\n",
            f"ERROR: failed to transfer '{MD5}' - Unauthorized",
        ),
        ("one\n  two  \n\n", "two"),
        ("\n", "it said nothing"),
    ],
)
def test_the_reason_is_the_line_that_says_why(said: str, reason: str) -> None:
    failure = failure_of(Ended(1, said))
    assert failure is not None
    assert failure.reason == reason


def test_only_what_may_pass_is_tried_again() -> None:
    assert RETRIES == {Kind.NETWORK: 5, Kind.LOCKED: 8, Kind.OUT_OF_MEMORY: 1}
