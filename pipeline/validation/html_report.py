"""The report for people: an HTML page with the content of validate.json, quarantined rows and similar images."""

from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.html.page_template import data_url, write_html_page
from pipeline.validation.json_report import as_json
from pipeline.validation.run_checks import ValidationResult
from pipeline.validation.similarity import thumbnails_of

TEMPLATE = Path(__file__).with_suffix(".html")

MAX_QUARANTINED_ROWS = 50
"""Rows of quarantine.parquet that the page shows."""


def write_validation_page(path: Path, dataset: str, validation: ValidationResult, files: pa.Table) -> None:
    """Write the page atomically.

    Args:
        path: the HTML file.
        dataset: name of the dataset.
        validation: the result of all checks.
        files: schema.FILES of all images, rejected ones included; it has the thumbnails of similar images.

    """
    report = as_json(validation)
    title = f"Checks of {dataset}"
    data = {
        "title": title,
        "report": report,
        "meanings": {result.name: result.meaning for result in validation.results},
        "quarantine": validation.quarantine.slice(0, MAX_QUARANTINED_ROWS).drop_columns(["row"]).to_pylist(),
        "thumbnails": _thumbnail_urls(report["similar_images"], files),
    }
    write_html_page(path, TEMPLATE, title, data)


def _thumbnail_urls(pairs: list[dict[str, Any]], files: pa.Table) -> dict[str, str]:
    """The thumbnails of the images as `data:` URLs, by image id."""
    image_ids = sorted({pair[key] for pair in pairs for key in ("image_id", "similar_to_id")})
    rows = pc.index_in(pa.array(image_ids, pa.int64()), value_set=files["image_id"].combine_chunks())
    thumbnails = thumbnails_of(files["thumbnail"].take(rows))
    return {
        str(image_id): data_url(cv2.imencode(".png", thumbnail)[1].tobytes(), "png")
        for image_id, thumbnail in zip(image_ids, thumbnails, strict=True)
    }
