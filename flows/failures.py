"""Classification of failed commands, and how often each kind of failure is retried.

Boxline's own stages and commands are classified by their exit codes, failures of DVC and Git by their messages.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from flows.processes import CommandResult
from pipeline.core import exit_codes


class FailureKind(StrEnum):
    """Why a command failed. The values appear in logs and in the state messages of runs."""

    NETWORK = "network or storage unreachable"
    LOCKED = "locked by another process"
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    DENIED = "access denied"
    INPUT = "invalid data or parameters"
    TIMEOUT = "timed out"
    KILLED = "killed"
    BUG = "error in the code"


RETRY_LIMITS = {FailureKind.NETWORK: 5, FailureKind.LOCKED: 8}
"""Retries by kind of failure. The other kinds would fail again in the same way, or were killed on purpose."""

TRAINING_RETRY_LIMITS = {**RETRY_LIMITS, FailureKind.OUT_OF_MEMORY: 1}
"""Trainings are also retried when they run out of memory, with half the batch."""

KIND_BY_EXIT_CODE = {
    exit_codes.INPUT_ERROR: FailureKind.INPUT,
    exit_codes.OUT_OF_MEMORY: FailureKind.OUT_OF_MEMORY,
    exit_codes.DISK_FULL: FailureKind.DISK_FULL,
    exit_codes.NETWORK_ERROR: FailureKind.NETWORK,
    **{code: FailureKind.KILLED for signal in (2, 9, 15) for code in (-signal, 128 + signal)},
}
"""Exit codes of Boxline's stages and commands, and of killed processes as Python (-9) and sh (137) report them."""

GIT_FATAL = 128
"""Exit code of Git for fatal errors."""

BOXLINE_ERROR = re.compile(r"^Error: ", re.MULTILINE)
STAGE_FAILED = re.compile(r"failed to run: .*, exited with (-?\d+)", re.DOTALL)

MESSAGE_PATTERNS = [
    (r"Unable to acquire lock|it is being blocked by:", FailureKind.LOCKED),
    (
        r"No space left on device|Disk quota exceeded|File too large|database or disk is full|disk I/O error",
        FailureKind.DISK_FULL,
    ),
    (
        r"Unable to locate credentials|InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|Access Denied|Forbidden"
        r"|Unauthorized|ExpiredToken|Permission denied|PermissionDenied|\(40[13]\)|NoSuchBucket|bucket does not exist"
        r"|config profile \(.*\) could not be found|Host key (?:is not trusted|verification failed)"
        r"|Authentication failed|could not read Username|returned error: 40[13]",
        FailureKind.DENIED,
    ),
    (
        r"Could not (?:connect|resolve)|(?:Cannot|unable to|Failed to) connect|Connect call failed"
        r"|Connection (?:refused|reset|lost|closed|aborted)"
        r"|[Tt]imed out|TimeoutError|(?:Connect|Read) timeout|Server disconnected|Temporary failure in name"
        r"|Name or service not known|Network is unreachable|No route to host|SlowDown|InternalError"
        r"|Internal Server Error|Service ?Unavailable|Bad Gateway|\(50[0234]\)|IncompleteRead|Broken pipe"
        r"|hung up unexpectedly|early EOF|returned error: (?:429|5\d\d)"
        r"|failed to transfer|files failed to (?:up|down)load",
        FailureKind.NETWORK,
    ),
    (
        r"does not appear to be a git repository"
        r"|config(?:uration)? (?:file )?error|Checkout failed for following targets|missing data 'source'"
        r"|dependency '.*' does not exist|not found inside '|dvc\.yaml' is invalid",
        FailureKind.INPUT,
    ),
]
"""Messages of DVC, Git and the clients of their remotes, in order of precedence."""


@dataclass(frozen=True)
class Failure:
    """The kind of a failure, and the line of output that explains it."""

    kind: FailureKind
    reason: str


class RetryState:
    """Failures of one task over its attempts.

    The task records each failure, and Prefect's retry condition is `should_retry`, after each failed attempt.
    """

    def __init__(self, limits: Mapping[FailureKind, int]) -> None:
        """`limits` is the number of retries for each kind of failure; other kinds are never retried."""
        self._limits = limits
        self._kinds: list[FailureKind] = []

    def record(self, kind: FailureKind) -> None:
        """Record that a command of the current attempt failed."""
        self._kinds.append(kind)

    def clear(self) -> None:
        """Forget all failures, after which nothing is retried until another one is recorded."""
        self._kinds.clear()

    @property
    def last_kind(self) -> FailureKind | None:
        """The kind of the last failure; None without one."""
        return self._kinds[-1] if self._kinds else None

    def should_retry(self) -> bool:
        """Return whether the last failure allows another attempt."""
        if self.last_kind is None:
            return False
        return self._kinds.count(self.last_kind) <= self._limits.get(self.last_kind, 0)


def classify_failure(result: CommandResult) -> Failure | None:
    """Return why a command failed, or None if it succeeded."""
    if result.timed_out:
        return Failure(FailureKind.TIMEOUT, "The command and all its child processes were terminated")
    if result.return_code == 0:
        return None
    return Failure(_kind(result), _error_summary(result.tail))


def _kind(result: CommandResult) -> FailureKind:
    output = result.tail if result.return_code == GIT_FATAL else _dvc_output(result.tail)
    stage = STAGE_FAILED.search(output)
    exit_code = int(stage[1]) if stage else result.return_code
    kind = KIND_BY_EXIT_CODE.get(exit_code, FailureKind.BUG)
    if kind is FailureKind.KILLED:
        return FailureKind.OUT_OF_MEMORY if result.oom_kills else kind
    if stage or not output:
        # Python also exits with 1 after a traceback, as when a module cannot be imported.
        return FailureKind.BUG if kind is FailureKind.INPUT and not BOXLINE_ERROR.search(result.tail) else kind
    return next((kind for pattern, kind in MESSAGE_PATTERNS if re.search(pattern, output)), FailureKind.BUG)


def _dvc_output(tail: str) -> str:
    """Return the output from DVC's last message about a stage on, or else from its first error on.

    The output of the stage itself must not be matched against patterns of DVC's messages.
    """
    text = f"\n{tail}"
    starts = [text.rfind("\nERROR: failed to reproduce"), text.find("\nERROR: ")]
    return next((text[start:] for start in starts if start >= 0), "")


def _error_summary(tail: str) -> str:
    """Return Boxline's or Python's last error line, else DVC's or Git's first one, else the last line."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    python_errors = [line for line in lines if re.match(r"[\w.]*Error: ", line)]
    dvc_errors = [line for line in lines if line.startswith("ERROR: ")]
    git_errors = [line for line in lines if re.match(r"(?:ssh|fatal): ", line)]
    return (python_errors[-1:] or dvc_errors[:1] or git_errors[:1] or lines[-1:] or ["no output"])[0]
