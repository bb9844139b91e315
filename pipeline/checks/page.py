"""What the checks found, for people: one HTML file without scripts, which asks no server for anything."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.checks.check import percent
from pipeline.checks.markdown import QUIET, thresholds_text
from pipeline.checks.outcome import Outcome
from pipeline.checks.overview import Overview
from pipeline.checks.report import boxes_per_image_histogram, side_histogram, similar_pairs
from pipeline.checks.similarity import thumbnails_of
from pipeline.checks.validation import Validation
from pipeline.storage.files import whole_file
from pipeline.viewer.parts import fill, png_address

TEMPLATE = Path(__file__).with_name("page.html")

QUARANTINE_ROWS = 50
"""Shown of quarantine.parquet."""


def write_page(path: Path, dataset: str, validation: Validation, files: pa.Table) -> None:
    """Write the page, whole or not at all. `files`, schema.FILES of all images, has the thumbnails of similar ones."""
    body = _element("body", _header(dataset, validation), _element("main", *_panels(validation, files), css="layout"))
    # Written by ElementTree: whatever a file or a class is called, it stays text.
    parts = {"body": ElementTree.tostring(body, encoding="unicode", method="html")}
    page = fill(TEMPLATE.read_text(encoding="utf-8"), f"Checks of {dataset}", parts)
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


def _header(dataset: str, validation: Validation) -> Element:
    overview, failures = validation.overview, validation.failures()
    warned = any(outcome.status == "warned" for outcome in validation.outcomes)
    verdict, css = (
        ("fails", "failed") if failures else ("passes with warnings", "warned") if warned else ("passes", "passed")
    )
    return _element(
        "header",
        _element("h1", f"Checks of {dataset}: ", _element("span", verdict, css=css)),
        _quiet(
            f"{overview.images.sum():,} images, {overview.boxes.sum():,} boxes, {len(overview.names)} categories. "
            f"{validation.quarantine.num_rows:,} rows in quarantine, {percent(validation.quarantined_share)} of all; "
            f"allowed are {percent(validation.max_quarantined_share)}."
        ),
        _element("ul", *(_element("li", failure) for failure in failures)),
    )


def _panels(validation: Validation, files: pa.Table) -> Iterator[Element]:
    overview = validation.overview
    yield _panel("Checks", *_checks(validation.outcomes), wide=True)
    if pairs := similar_pairs(validation):
        yield _panel("Similar images in different splits", _pairs(pairs, files), wide=True)
    if validation.quarantine.num_rows:
        yield _panel("Quarantine", *_quarantine(validation.quarantine), wide=True)
    yield _panel("Classes", _quiet("Boxes by class and split, without crowds."), _classes(overview), wide=True)
    yield _panel(
        "Sizes of boxes",
        _quiet("Side of a square as large as the box, in percent of that of a square as large as the image."),
        _bars(side_histogram(overview)),
    )
    yield _panel("Boxes per image", _splits(overview), _bars(boxes_per_image_histogram(overview)))


def _checks(outcomes: list[Outcome]) -> Iterator[Element]:
    """What was found lies open; what is well is folded away, unless that is all there is."""
    header = ("check", "status", "found", "")
    loud, quiet = ([one for one in outcomes if (one.status in QUIET) == is_quiet] for is_quiet in (False, True))
    if loud:
        yield _table(header, [_check(outcome) for outcome in loud], numbers={2})
    counts = [(sum(one.status == status for one in quiet), status) for status in QUIET]
    summary = _element("summary", ", ".join(f"{count} {status}" for count, status in counts if count))
    table = _table(header, [_check(outcome) for outcome in quiet], numbers={2})
    yield _element("details", summary, table, **({} if loud else {"open": "open"}))


def _check(outcome: Outcome) -> list[Element | str]:
    details = [thresholds_text(outcome), outcome.measured]
    return [
        _element("span", outcome.name, css="name"),
        _element(
            "span",
            outcome.status,
            css=f"status {outcome.status.replace(' ', '-')}",
            title=f"severity {outcome.severity}",
        ),
        f"{outcome.count:,}" if outcome.status not in ("off", "not run") else "",
        _element(
            "div",
            *(_element("p", example) for example in outcome.examples),
            _quiet(" · ".join(filter(None, [outcome.meaning, *details]))),
            css="text",
        ),
    ]


def _pairs(pairs: list[dict[str, Any]], files: pa.Table) -> Element:
    figures = []
    for pair in pairs:
        ids = pa.array([pair["image_id"], pair["similar_to_id"]])
        rows = pc.index_in(ids, value_set=files["image_id"].combine_chunks())
        thumbnails = thumbnails_of(files["thumbnail"].take(rows))
        names = (f"{pair['split']}: {pair['file_name']}", f"{pair['similar_to_split']}: {pair['similar_to']}")
        pictures = [
            _element("img", src=png_address(pixels[..., None]), alt=name)
            for pixels, name in zip(thumbnails, names, strict=True)
        ]
        caption = _element(
            "figcaption", *(_element("p", name) for name in names), _quiet(f"similarity {pair['similarity']:.3f}")
        )
        figures.append(_element("figure", *pictures, caption))
    return _element("div", *figures, css="pairs")


def _quarantine(quarantine: pa.Table) -> Iterator[Element]:
    rows = [
        [
            row["table"],
            f"{row['row_number']:,}",
            str(row["row_id"]),
            row["file_name"] or "",
            row["reason"],
            row["values"],
        ]
        for row in quarantine.slice(0, QUARANTINE_ROWS).to_pylist()
    ]
    yield _table(("table", "row", "id", "file", "reason", "values"), rows, numbers={1, 2})
    if quarantine.num_rows > QUARANTINE_ROWS:
        yield _quiet(f"{quarantine.num_rows - QUARANTINE_ROWS:,} more rows are in quarantine.parquet.")


def _classes(overview: Overview) -> Element:
    """The largest class first."""
    order = (-overview.objects.sum(axis=1)).argsort(kind="stable")
    largest = max(1, int(overview.objects.max(initial=1)))
    rows: list[list[Element | str]] = [
        [overview.names[row], split, f"{count:,}", _bar(count / largest)]
        for row in order
        for split, count in zip(overview.splits, overview.objects[row].tolist(), strict=True)
    ]
    return _element("div", _table(("class", "split", "boxes", ""), rows, numbers={2}), css="bars")


def _splits(overview: Overview) -> Element:
    counts = zip(overview.splits, overview.images.tolist(), overview.images_without_boxes.tolist(), strict=True)
    rows = [[split, f"{all_:,}", f"{empty:,}", percent(empty / max(1, all_))] for split, all_, empty in counts]
    return _table(("split", "images", "without boxes", "share"), rows, numbers={1, 2, 3})


def _bars(counts: Mapping[str, int]) -> Element:
    largest = max(1, *counts.values())
    rows: list[list[Element | str]] = [[label, f"{count:,}", _bar(count / largest)] for label, count in counts.items()]
    return _element("div", _table((), rows, numbers={1}), css="bars")


def _bar(share: float) -> Element:
    rect = _element("rect", width=f"{100 * share:.2f}", height="1")
    return _element("svg", rect, viewBox="0 0 100 1", preserveAspectRatio="none", **{"aria-hidden": "true"})


def _panel(title: str, *children: Element, wide: bool = False) -> Element:
    return _element("section", _element("h2", title), *children, css="panel wide" if wide else "panel")


def _table(header: Sequence[str], rows: Iterable[Sequence["Element | str"]], numbers: set[int]) -> Element:
    """`numbers` are the columns that are set to the right."""

    def line(tag: str, cells: Sequence["Element | str"]) -> Element:
        return _element(
            "tr", *(_element(tag, cell, css="number" if at in numbers else "") for at, cell in enumerate(cells))
        )

    head = [_element("thead", line("th", header))] if header else []
    table = _element("table", *head, _element("tbody", *(line("td", row) for row in rows)))
    return _element("div", table, css="scroll")


def _quiet(text: str) -> Element:
    return _element("p", text, css="quiet")


def _element(tag: str, *children: "Element | str", css: str = "", **attributes: str) -> Element:
    """An element of that class; texts come before the elements among its children."""
    made = Element(tag, {**({"class": css} if css else {}), **attributes})
    made.text = "".join(child for child in children if isinstance(child, str))
    made.extend(child for child in children if not isinstance(child, str))
    return made
