"""Renews a folder of downloads in processes that die at every single change of the disk, one after the other.

python -m tests.support.crash_points FOLDER

Prints how many points there were. A program of its own, because it forks, and a test process has threads.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.download.manifest import Asset
from pipeline.download.sync import exclusive_lock, install, sync_files

CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile"}
FORMER = {"same.bin": b"s" * 300_000, "changed.bin": b"c" * 300_000, "gone/old.bin": b"o" * 5_000}
NEW = {"same.bin": FORMER["same.bin"], "changed.bin": b"C" * 400_000, "new/more.bin": b"n" * 600_000}


def renew(files: dict[str, bytes]) -> None:
    with exclusive_lock(Path("state"), "download"):
        received = sync_files(
            [Asset(path) for path in files], "source", Path("state"), Path("out"), Path("report.json")
        )
        install(received, Path("state"), Path("out"), Path("report.json"))


def dying_at(point: int, work: Callable[[], None]) -> Callable[[], None]:
    """`work`, killed as by the system just before its change number `point` of the disk."""
    left = point

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or is_write:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        sys.addaudithook(watch)
        work()

    return run


def exit_code(work: Callable[[], None]) -> int:
    """Of `work` in a process of its own."""
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


def dies(point: int) -> bool:
    """Whether there is such a point. The process dies there, then at the same point again, and the third one ends."""
    for name in ("source", "out", "state", ".out.former"):
        shutil.rmtree(name, ignore_errors=True)
    Path("report.json").unlink(missing_ok=True)
    write(Path("source"), FORMER)
    assert exit_code(lambda: renew(FORMER)) == 0
    write(Path("source"), NEW)
    code = exit_code(dying_at(point, lambda: renew(NEW)))
    assert code in (0, -signal.SIGKILL), code
    standing = Path("out") if Path("out").exists() else Path(".out.former")
    assert content_of(standing) in (FORMER, NEW), f"point {point}: neither the former folder nor the new one"
    is_new = content_of(standing) == NEW
    inodes = {path: (standing / path).stat().st_ino for path in NEW} if is_new else {}
    exit_code(dying_at(point, lambda: renew(NEW)))
    assert exit_code(lambda: renew(NEW)) == 0
    assert content_of(Path("out")) == NEW, f"point {point}"
    assert not is_new or inodes == {path: (Path("out") / path).stat().st_ino for path in NEW}, f"point {point}: anew"
    assert content_of(Path("state")) == {}, f"point {point}"
    assert not Path(".out.former").exists(), f"point {point}"
    return code != 0


def main() -> None:
    os.chdir(sys.argv[1])
    points = 1
    while dies(points):
        points += 1
    sys.stdout.write(f"{points - 1}\n")


if __name__ == "__main__":
    main()
