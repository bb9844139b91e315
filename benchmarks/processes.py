"""Compare two implementations, each in processes of its own, so that memory is measured separately.

An implementation is a function of a folder: python -m benchmarks.processes benchmarks.annotations:read_as_tables FOLDER
"""

import importlib
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import peak_megabytes, seconds


def compare(module: str, slow: str, fast: str, folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds and largest peak memory of both, run alternately, and the median of their ratios."""
    pairs = [(run(module, slow, folder), run(module, fast, folder)) for _ in range(rounds)]
    return {
        "slow_seconds": statistics.median(slow["seconds"] for slow, _ in pairs),
        "fast_seconds": statistics.median(fast["seconds"] for _, fast in pairs),
        "ratio": statistics.median(slow["seconds"] / fast["seconds"] for slow, fast in pairs),
        "slow_peak_megabytes": max(slow["peak_megabytes"] for slow, _ in pairs),
        "fast_peak_megabytes": max(fast["peak_megabytes"] for _, fast in pairs),
    }


def run(module: str, function: str, folder: Path) -> dict[str, float]:
    """Seconds of one call in a new process, without imports, and the peak memory of that process, with imports."""
    command = [sys.executable, "-m", "benchmarks.processes", f"{module}:{function}", str(folder)]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def main() -> None:
    """Measure one call and print the result as JSON."""
    target, folder = sys.argv[1:]
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    elapsed = seconds(lambda: function(Path(folder)))
    sys.stdout.write(json.dumps({"seconds": elapsed, "peak_megabytes": peak_megabytes()}))


if __name__ == "__main__":
    main()
