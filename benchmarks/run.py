"""Speed as ratios between two ways of doing one thing, measured in turn in one run: python -m benchmarks.run

Absolute seconds depend on the machine; the ratios should not. The results are written to benchmarks/results/speed.json.
"""

import tempfile
from pathlib import Path

from benchmarks.checks import checks_benchmark, refused_benchmark
from benchmarks.feeding import feeding_benchmark
from benchmarks.flows import flow_benchmark
from benchmarks.inspection import inspection_benchmark
from benchmarks.packing import packing_benchmarks
from benchmarks.rectangles import rectangles_benchmark
from benchmarks.tables import tables_benchmark
from pipeline.core.atomic_files import write_json

RESULTS = Path(__file__).parent / "results" / "speed.json"


def main() -> None:
    """Run all benchmarks. The machine has to be idle."""
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        results["COCO's annotations: json.load and loops / Parquet tables"] = tables_benchmark(Path(temporary))
        results["COCO's tables: loops over rows / all checks"] = checks_benchmark(Path(temporary))
        results["COCO's tables: all checks, every box refused / none refused"] = refused_benchmark(Path(temporary))
    results["image files: bare decoding / inspect"] = inspection_benchmark()
    results |= packing_benchmarks()
    results["batches at 448 px: files by tf.data / packed"] = feeding_benchmark()
    results["an epoch of rectangles: as published / frozen layers answer once"] = rectangles_benchmark()
    results["12 stages that do nothing: a flow / dvc repro"] = flow_benchmark()
    write_json(RESULTS, results)
    for name, result in results.items():
        print(f"{name}: {result['slow_seconds']:.3f} s / {result['fast_seconds']:.3f} s = {result['ratio']:.2f}")


if __name__ == "__main__":
    main()
