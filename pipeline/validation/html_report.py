"""What the checks found, for people: one HTML file that shows validate.json, and the rows and images that are meant."""

from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.html.page_template import data_url, write_html_page
from pipeline.validation.json_report import as_json
from pipeline.validation.run import Validation
from pipeline.validation.similarity import thumbnails_of

TEMPLATE = Path(__file__).with_suffix(".html")

QUARANTINE_ROWS = 50
"""Shown of quarantine.parquet."""


def write_page(path: Path, dataset: str, validation: Validation, files: pa.Table) -> None:
    """Write the page, whole or not at all. `files`, schema.FILES of all images, has the thumbnails of similar ones."""
    report = as_json(validation)
    data = {
        "title": f"Checks of {dataset}",
        "report": report,
        "meanings": {outcome.name: outcome.meaning for outcome in validation.outcomes},
        "quarantine": validation.quarantine.slice(0, QUARANTINE_ROWS).drop_columns(["row"]).to_pylist(),
        "thumbnails": _thumbnails(report["similar_images"], files),
    }
    write_html_page(path, TEMPLATE, data["title"], data)


def _thumbnails(pairs: list[dict[str, Any]], files: pa.Table) -> dict[str, str]:
    """By image id the thumbnail as a `data:` address."""
    ids = sorted({pair[key] for pair in pairs for key in ("image_id", "similar_to_id")})
    rows = pc.index_in(pa.array(ids, pa.int64()), value_set=files["image_id"].combine_chunks())
    model_inputs = thumbnails_of(files["thumbnail"].take(rows))
    return {
        str(image_id): data_url(cv2.imencode(".png", model_input)[1].tobytes(), "png")
        for image_id, model_input in zip(ids, model_inputs, strict=True)
    }
