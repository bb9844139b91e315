"""The cost of inspecting image files beyond decoding them."""

import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks.packing import THREADS, write_dataset
from benchmarks.photographs import Photograph, photographs
from benchmarks.timing import ratio
from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_decoding import FORMATS
from pipeline.validation.inspection import inspect_images

IMAGES = 2000


def inspection_benchmark() -> dict[str, float]:
    """Compare decoding from memory with checksum, decoding and thumbnail from the archive, with as many threads."""
    with tempfile.TemporaryDirectory() as temporary:
        made = list(photographs(range(1, IMAGES + 1)))
        images, _ = write_dataset(Path(temporary), made)

        def inspected() -> None:
            with ThreadPoolExecutor(THREADS) as executor:
                inspect_images(images, ArchiveFolder(Path(temporary)), executor)

        return ratio(lambda: _decode(made), inspected)


def _decode(made: list[Photograph]) -> None:
    def share(first: int) -> None:
        for photograph in made[first::THREADS]:
            with Image.open(io.BytesIO(photograph.content), formats=FORMATS) as image:
                image.load()

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(share, range(THREADS)))
