"""What kind of failure ended a command, and how often it is worth another try.

The kind follows from the exit code of our own stages and commands (pipeline/core/exit_codes.py), and where DVC itself fails,
from what it is known to say.
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
    **{code: Kind.KILLED for number in (2, 9, 15) for code in (-number, 128 + number)},
}
"""Of our stages and commands, see pipeline/core/exit_codes.py, and of processes that were killed, as Python and sh tell it."""

GIT_FAILED = 128

OUR_ERROR = re.compile(r"^Error: ", re.MULTILINE)
STAGE_FAILED = re.compile(r"failed to run: .*, exited with (-?\d+)", re.DOTALL)

SAYINGS = [
    (r"Unable to acquire lock|it is being blocked by:", Kind.LOCKED),
    (
        r"No space left on device|Disk quota exceeded|File too large|database or disk is full|disk I/O error",
        Kind.DISK_FULL,
    ),
    (
        r"Unable to locate credentials|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Access Denied|Forbidden"
        r"|Unauthorized|ExpiredToken|Permission denied|PermissionDenied|\(40[13]\)|NoSuchBucket|bucket does not exist"
        r"|config profile \(.*\) could not be found|Host key (?:is not trusted|verification failed)"
        r"|Authentication failed|could not read Username|returned error: 40[13]",
        Kind.DENIED,
    ),
    (
        r"Could not (?:connect|resolve)|(?:Cannot|unable to|Failed to) connect|Connect call failed"
        r"|Connection (?:refused|reset|lost|closed|aborted)"
        r"|[Tt]imed out|TimeoutError|(?:Connect|Read) timeout|Server disconnected|Temporary failure in name"
        r"|Name or service not known|Network is unreachable|No route to host|SlowDown|InternalError"
        r"|Internal Server Error|Service ?Unavailable|Bad Gateway|\(50[0234]\)|IncompleteRead|Broken pipe"
        r"|hung up unexpectedly|early EOF|returned error: (?:429|5\d\d)"
        r"|failed to transfer|files failed to (?:up|down)load",
        Kind.NETWORK,
    ),
    (
        r"does not appear to be a git repository"
        r"|config(?:uration)? (?:file )?error|Checkout failed for following targets|missing data 'source'"
        r"|dependency '.*' does not exist|not found inside '|dvc\.yaml' is invalid",
        Kind.INPUT,
    ),
]
"""What DVC, Git and the clients of their remotes say. The first that is found counts."""


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
    said = ended.tail if ended.return_code == GIT_FAILED else _said_by_dvc(ended.tail)
    stage = STAGE_FAILED.search(said)
    code = int(stage[1]) if stage else ended.return_code
    kind = EXIT_CODES.get(code, Kind.CODE)
    if kind is Kind.KILLED:
        return Kind.OUT_OF_MEMORY if ended.oom_kills else kind
    if stage or not said:
        # Python itself ends with 1 where not even the first lines of a command could run.
        return Kind.CODE if kind is Kind.INPUT and not OUR_ERROR.search(ended.tail) else kind
    return next((kind for pattern, kind in SAYINGS if re.search(pattern, said)), Kind.CODE)


def _said_by_dvc(tail: str) -> str:
    """From its last line on a stage to the end, or else from its first error; what a stage prints says nothing here."""
    text = f"\n{tail}"
    starts = [text.rfind("\nERROR: failed to reproduce"), text.find("\nERROR: ")]
    return next((text[start:] for start in starts if start >= 0), "")


def _last_words(tail: str) -> str:
    """The line that says why: the last error of ours or of a traceback, DVC's or Git's first one, or the last line."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    ours = [line for line in lines if re.match(r"[\w.]*Error: ", line)]
    of_dvc = [line for line in lines if line.startswith("ERROR: ")]
    of_git = [line for line in lines if re.match(r"(?:ssh|fatal): ", line)]
    return (ours[-1:] or of_dvc[:1] or of_git[:1] or lines[-1:] or ["it said nothing"])[0]
