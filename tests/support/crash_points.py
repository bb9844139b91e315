"""Synchronizes a download folder in processes that are killed at every single change of the disk, one after the other.

python -m tests.support.crash_points FOLDER

Prints the number of changes. It is a separate program because it forks, and a test process has threads.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.download.manifest import Asset
from pipeline.download.retry import DEFAULT_RETRY
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sync import exclusive_lock, install, sync_files

CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile"}
PREVIOUS = {"same.bin": b"s" * 300_000, "changed.bin": b"c" * 300_000, "gone/old.bin": b"o" * 5_000}
NEW = {"same.bin": PREVIOUS["same.bin"], "changed.bin": b"C" * 400_000, "new/more.bin": b"n" * 600_000}

SOURCE, PARTIAL, OUT, REPORT = Path("source"), Path("partial"), Path("out"), Path("report.json")


def synchronize(files: dict[str, bytes]) -> None:
    with exclusive_lock(PARTIAL, "download"):
        assets = [Asset(path) for path in files]
        sources = resolve_sources(str(SOURCE), assets, DEFAULT_RETRY)
        downloaded = sync_files(list(zip(assets, sources, strict=True)), PARTIAL, OUT, REPORT)
        install(downloaded, PARTIAL, OUT, REPORT)


def killed_at(number: int, work: Callable[[], None]) -> Callable[[], None]:
    """Return `work` with a SIGKILL just before its change `number` of the disk, counted from 1."""
    remaining = number

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal remaining
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or is_write:
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        sys.addaudithook(watch)
        work()

    return run


def exit_code(work: Callable[[], None]) -> int:
    """Run `work` in a forked process and return its exit code."""
    process = os.fork()
    if not process:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / path).exists() or (folder / path).read_bytes() != content:
            (folder / path).write_bytes(content)


def renamed_outs() -> list[Path]:
    """Return the hidden folders beside `out` under which it is kept while it is replaced."""
    return sorted(Path().glob(f".{OUT}.*"))


def is_killed_at(number: int) -> bool:
    """Kill a process at that change and a second one at the same change, and check what the third one completes.

    Returns whether the first process had that many changes.
    """
    for folder in (SOURCE, OUT, PARTIAL, *renamed_outs()):
        shutil.rmtree(folder, ignore_errors=True)
    REPORT.unlink(missing_ok=True)
    write(SOURCE, PREVIOUS)
    assert exit_code(lambda: synchronize(PREVIOUS)) == 0
    write(SOURCE, NEW)
    code = exit_code(killed_at(number, lambda: synchronize(NEW)))
    assert code in (0, -signal.SIGKILL), code
    present = OUT if OUT.exists() else renamed_outs()[0]
    assert content_of(present) in (PREVIOUS, NEW), f"change {number}: neither the previous folder nor the new one"
    is_new = content_of(present) == NEW
    inodes = {path: (present / path).stat().st_ino for path in NEW} if is_new else {}
    exit_code(killed_at(number, lambda: synchronize(NEW)))
    assert exit_code(lambda: synchronize(NEW)) == 0
    assert content_of(OUT) == NEW, f"change {number}"
    is_reused = inodes == {path: (OUT / path).stat().st_ino for path in NEW}
    assert is_reused or not is_new, f"change {number}: a complete download was repeated"
    assert content_of(PARTIAL) == {}, f"change {number}"
    assert renamed_outs() == [], f"change {number}"
    return code != 0


def main() -> None:
    os.chdir(sys.argv[1])
    number = 1
    while is_killed_at(number):
        number += 1
    sys.stdout.write(f"{number - 1}\n")


if __name__ == "__main__":
    main()
