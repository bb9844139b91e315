"""What kind of failure ended a command, and how often it is worth another try.

The kind follows from the exit code of our own stages (pipeline/command.py) and from what DVC is known to say.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from flows.processes import Ended


class Kind(StrEnum):
    """Why a command failed, in words for the log and the run's page."""

    NETWORK = "network or storage out of reach"
    LOCKED = "another process works here"
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    DENIED = "access denied"
    INPUT = "data or parameters"
    TIME = "took too long"
    KILLED = "killed"
    CODE = "error in the code"


RETRIES = {Kind.NETWORK: 5, Kind.LOCKED: 8, Kind.OUT_OF_MEMORY: 1}
"""More tries after the first, by kind. Another one would end as the first did, or, killed, was somebody's will."""

EXIT_CODES = {
    1: Kind.INPUT,
    12: Kind.OUT_OF_MEMORY,
    28: Kind.DISK_FULL,
    75: Kind.NETWORK,
    -9: Kind.KILLED,
    137: Kind.KILLED,
}
"""Of our stages, see pipeline/command.py, and of processes that were killed."""

STAGE_FAILED = re.compile(r"failed to run: .*, exited with (-?\d+)")

SAYINGS = [
    (r"Unable to acquire lock|it is being blocked by:", Kind.LOCKED),
    (r"No space left on device|Disk quota exceeded|\[Errno 28\]", Kind.DISK_FULL),
    (
        r"Unable to locate credentials|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Forbidden|Access Denied"
        r"|Permission denied|\b40[13]\b|NoSuchBucket|bucket does not exist|PermissionDenied|ProfileNotFound",
        Kind.DENIED,
    ),
    (
        r"Could not connect|Connection (?:refused|reset|lost|closed|aborted)|[Tt]imed? ?out|Temporary failure in name"
        r"|Name or service not known|Network is unreachable|No route to host|SlowDown|ServiceUnavailable|InternalError"
        r"|\b50[0234]\b|EndpointConnectionError|IncompleteRead|Broken pipe|failed to (?:push|pull|transfer)"
        r"|Some of the cache files do not exist",
        Kind.NETWORK,
    ),
]
"""What DVC and the clients of its remotes say. The first that is found counts."""


@dataclass(frozen=True)
class Failure:
    """A command that failed: its kind, and its last words."""

    kind: Kind
    reason: str


def failure_of(ended: Ended) -> Failure | None:
    """None for a command that did what it should."""
    if ended.timed_out:
        return Failure(Kind.TIME, "It was ended with everything that it had started")
    if ended.return_code == 0:
        return None
    return Failure(_kind(ended), _last_words(ended.tail))


def _kind(ended: Ended) -> Kind:
    stage = STAGE_FAILED.search(ended.tail)
    code = int(stage[1]) if stage else ended.return_code
    if stage or code in (-9, 137):
        kind = EXIT_CODES.get(code, Kind.CODE)
        return Kind.OUT_OF_MEMORY if kind is Kind.KILLED and ended.oom_kills else kind
    return next((kind for pattern, kind in SAYINGS if re.search(pattern, ended.tail)), Kind.CODE)


def _last_words(tail: str) -> str:
    """The line that says why: an error's, or the last one."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    told = [line for line in lines if re.match(r"(?:Error|ERROR): ", line)]
    return (told or lines or ["it said nothing"])[0 if told else -1]
