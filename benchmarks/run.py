"""Speed as ratios between two ways of doing one thing, measured in turn in one run: python -m benchmarks.run

Absolute seconds depend on the machine; the ratios should not. The results are written to benchmarks/results/speed.json.
"""

import io
import json
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.rectangles import rectangles_benchmark
from benchmarks.timing import seconds
from pipeline.datasets.coco import reader
from pipeline.datasets.coco.sample import Sample, write_sample
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, annotation_member
from pipeline.storage.archives import Archive, ArchiveFolder
from pipeline.storage.files import write_json
from pipeline.storage.inspection import inspect_images
from pipeline.storage.packing import pack_images
from pipeline.storage.params import Pack
from pipeline.storage.shards import Shards

RESULTS = Path(__file__).parent / "results" / "speed.json"
ROUNDS = 5
BATCH_IMAGES = 16


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> dict[str, float]:
    """Median seconds of both, taken in turn after one warm-up each, and the median of their ratios."""
    slow(), fast()
    pairs = [(seconds(slow), seconds(fast)) for _ in range(ROUNDS)]
    return {
        "slow_seconds": statistics.median(pair[0] for pair in pairs),
        "fast_seconds": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[0] / pair[1] for pair in pairs),
    }


def tables_benchmark(download: Path) -> dict[str, float]:
    """COCO annotations: typed decoding into Arrow tables against json.loads and loops, which build none."""

    def with_json() -> None:
        for split in ("train", "val"):
            content = json.loads(Archive(download / ANNOTATION_ARCHIVE)[annotation_member(split)].read())
            for image in content["images"]:
                _ = (image["id"], image["file_name"], image["width"], image["height"])
            for box in content["annotations"]:
                _ = (box["id"], box["image_id"], box["category_id"], *box["bbox"], box["area"], box["iscrowd"])

    return ratio(with_json, lambda: reader.read(download))


def batches_benchmark(download: Path, folder: Path) -> dict[str, float]:
    """Training batches: from packed shards against decoding and resizing the archives' JPEG files every epoch."""
    images = reader.read(download).images
    archives = ArchiveFolder(download)
    with ThreadPoolExecutor() as executor:
        pack = Pack(image_size=96, channels=3, resize="letterbox", shard_images=512)
        files = inspect_images(images, archives, executor)
        pack_images(images, files, archives, pack, folder / "former", folder, executor)
        shards = Shards(folder, "train")
        rows = images.filter(np.equal(images["split"].to_numpy(), "train")).to_pylist()
        order = np.random.default_rng(1).permutation(len(shards))

        def decode(index: int) -> np.ndarray:
            with Image.open(io.BytesIO(archives[rows[index]["archive"]][rows[index]["member"]].read())) as image:
                return cv2.resize(np.asarray(image), (96, 96), interpolation=cv2.INTER_AREA)

        def decoded() -> None:
            for start in range(0, len(order), BATCH_IMAGES):
                np.stack(list(executor.map(decode, order[start : start + BATCH_IMAGES])))

        def packed() -> None:
            for start in range(0, len(order), BATCH_IMAGES):
                shards.take("image", order[start : start + BATCH_IMAGES])

        return ratio(decoded, packed)


def main() -> None:
    """Run all benchmarks."""
    with tempfile.TemporaryDirectory() as temporary:
        download = Path(temporary) / "download"
        write_sample(download, Sample(seed=1, train_images=2000, val_images=100))
        results = {
            "tables: json.loads and loops / typed decoding": tables_benchmark(download),
            "batches: decoded every epoch / packed once": batches_benchmark(download, Path(temporary) / "pack"),
            "an epoch of rectangles: as published / frozen layers answer once": rectangles_benchmark(),
        }
    write_json(RESULTS, results)
    for name, result in results.items():
        print(f"{name}: {result['slow_seconds']:.3f} s / {result['fast_seconds']:.3f} s = {result['ratio']:.1f}")


if __name__ == "__main__":
    main()
