"""The report for people: an HTML page with the content of validate.json, quarantined rows and similar images."""

from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa

from pipeline.datasets.annotations import image_rows_of, take_or_null
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
    pairs = report["similar_images"]
    title = f"Checks of {dataset}"
    data = {
        "title": title,
        "report": report | {"similar_images": [_without_ids(pair) for pair in pairs]},
        "meanings": {result.name: result.meaning for result in validation.results},
        "quarantine": _first_rows(validation.quarantine),
        "thumbnails": _thumbnail_urls(pairs, files),
    }
    write_html_page(path, TEMPLATE, title, data)


# JavaScript rounds numbers above 2^53, so no id reaches the page as a number.


def _without_ids(pair: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pair.items() if name not in ("image_id", "similar_to_id")}


def _first_rows(quarantine: pa.Table) -> list[dict[str, Any]]:
    rows = quarantine.slice(0, MAX_QUARANTINED_ROWS).drop_columns(["row", "image_id"]).to_pylist()
    return [row | {"row_id": "" if row["row_id"] is None else str(row["row_id"])} for row in rows]


def _thumbnail_urls(pairs: list[dict[str, Any]], files: pa.Table) -> list[list[str]]:
    """The thumbnails of the two images of each pair as `data:` URLs."""
    names = [("image_id", "split"), ("similar_to_id", "similar_to_split")]
    columns = [[pair[key] for pair in pairs for key in keys] for keys in zip(*names, strict=True)]
    images = pa.table([pa.array(columns[0], pa.int64()), pa.array(columns[1], pa.string())], ["image_id", "split"])
    thumbnails = thumbnails_of(take_or_null(files["thumbnail"], image_rows_of(images, files)))
    urls = [data_url(cv2.imencode(".png", thumbnail)[1].tobytes(), "png") for thumbnail in thumbnails]
    return [urls[start : start + 2] for start in range(0, len(urls), 2)]
