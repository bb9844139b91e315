"""Speed of two implementations of one thing, as a ratio: python -m benchmarks.run

Both are measured alternately in one run. Absolute seconds depend on the machine, ratios much less. The results are
written to benchmarks/results/speed.json.
"""

import tempfile
from pathlib import Path

from benchmarks.annotations import annotations_benchmark
from benchmarks.checks import checks_benchmark, quarantine_benchmark
from benchmarks.data_loading import data_loading_benchmark
from benchmarks.flows import flow_benchmark
from benchmarks.inspection import inspection_benchmark
from benchmarks.packing import packing_benchmarks
from benchmarks.readers import readers_benchmark
from benchmarks.rectangles import rectangles_benchmark
from pipeline.core.atomic_files import write_json

RESULTS = Path(__file__).parent / "results" / "speed.json"


def main() -> None:
    """Run all benchmarks. The machine must be idle."""
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        results["COCO's annotations: json.load and loops / Parquet tables"] = annotations_benchmark(Path(temporary))
        results["COCO's tables: loops over rows / all checks"] = checks_benchmark(Path(temporary))
        results["COCO's tables: all checks, every box rejected / none rejected"] = quarantine_benchmark(Path(temporary))
    results |= readers_benchmark()
    results["image files: bare decoding / inspect"] = inspection_benchmark()
    results |= packing_benchmarks()
    results["batches at 448 px: files by tf.data / packed"] = data_loading_benchmark()
    results["an epoch of rectangles: as published / cached output of frozen layers"] = rectangles_benchmark()
    results["12 empty stages: a flow / dvc repro"] = flow_benchmark()
    write_json(RESULTS, results)
    for name, result in results.items():
        if "ratio" in result:
            print(f"{name}: {result['slow_seconds']:.3f} s / {result['fast_seconds']:.3f} s = {result['ratio']:.2f}")
        else:
            print(f"{name}: {result['seconds']:.1f} s, {result['peak_megabytes']:.0f} MB")


if __name__ == "__main__":
    main()
