"""Two ways of doing one thing, each in processes of its own, so that memory can be told apart.

A way is a function of a folder in a module of benchmarks/: python -m benchmarks.ways benchmarks.tables:typed FOLDER
"""

import importlib
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import peak_megabytes, seconds


def compare(module: str, slow: str, fast: str, folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds and largest peak memory of both, taken in turn, and the median of their ratios."""
    pairs = [(run(module, slow, folder), run(module, fast, folder)) for _ in range(rounds)]
    return {
        "slow_seconds": statistics.median(slow["seconds"] for slow, _ in pairs),
        "fast_seconds": statistics.median(fast["seconds"] for _, fast in pairs),
        "ratio": statistics.median(slow["seconds"] / fast["seconds"] for slow, fast in pairs),
        "slow_peak_megabytes": max(slow["peak_megabytes"] for slow, _ in pairs),
        "fast_peak_megabytes": max(fast["peak_megabytes"] for _, fast in pairs),
    }


def run(module: str, way: str, folder: Path) -> dict[str, float]:
    """Seconds of one call in a new process, imports not counted, and that process's peak memory, imports counted."""
    words = [sys.executable, "-m", "benchmarks.ways", f"{module}:{way}", str(folder)]
    result = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def main() -> None:
    """One call, its figures as JSON."""
    place, folder = sys.argv[1:]
    module, _, name = place.partition(":")
    way = getattr(importlib.import_module(module), name)
    took = seconds(lambda: way(Path(folder)))
    sys.stdout.write(json.dumps({"seconds": took, "peak_megabytes": peak_megabytes()}))


if __name__ == "__main__":
    main()
