"""The reports: JSON for programs, Markdown for pull requests, HTML for people."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from pipeline.validation.html_report import write_validation_page
from pipeline.validation.json_report import as_json
from pipeline.validation.markdown_report import as_markdown, escape_markdown
from pipeline.validation.run_checks import ValidationResult, run_drift_checks
from tests.support.pages import quiet_page
from tests.support.scenes import box, image
from tests.support.validation_scene import BOXES, IMAGES, checked, checks

NAME = "</td><script>alert(1)</script>|*.jpg"
RINGS = np.uint8(np.add.outer(np.arange(16), np.arange(16)) * 8).tobytes()
STEPS = np.uint8(np.add.outer(np.arange(16), np.arange(16)) * 7 + 3).tobytes()


@pytest.fixture(scope="module")
def validation() -> ValidationResult:
    """A rejected row, a crowd, an image without boxes, and two similar images of different splits."""
    images = [*IMAGES, image(5, "train") | {"file_name": NAME}, image(8)]
    boxes = [*BOXES, box(2, 7, 5, (1, 2, -3, 4)), box(3, 5, 2, (1, 2, 200, 150), is_crowd=True)]
    return checked(images, boxes, files=[{"thumbnail": RINGS}, {"thumbnail": STEPS}])


def test_json_report(validation: ValidationResult) -> None:
    report = as_json(validation)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    found = {name: check for name, check in report.pop("checks").items() if check["count"]}
    assert found == {
        "box_size_not_positive": {
            "severity": "error",
            "status": "quarantined",
            "count": 1,
            "thresholds": {},
            "measured": "",
            "examples": ["boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4"],
        },
        "image_similar_across_splits": {
            "severity": "warning",
            "status": "warned",
            "count": 1,
            "thresholds": {"min_similarity": 0.9, "min_contrast": 4.0},
            "measured": "2 images are too plain to compare",
            "examples": [
                f"images row 3, image 5, {NAME} in train: split train, similar_to 000000000008.jpg, similar_to_id 8, "
                "similar_to_split val, similarity 1"
            ],
        },
    }
    assert report == {
        "images": 4,
        "boxes": 5,
        "categories": 2,
        "images_without_boxes": 1,
        "crowd_boxes": 1,
        "quarantined": 1,
        "quarantined_fraction": 0.1,
        "max_quarantined_fraction": 1.0,
        "passed_over": [],
        "failures": [],
        "splits": {
            "train": {
                "images": 2,
                "boxes": 3,
                "images_without_boxes": 0,
                "boxes_per_image": {"min": 1.0, "mean": 1.5, "median": 1.5, "max": 2.0},
            },
            "val": {
                "images": 2,
                "boxes": 2,
                "images_without_boxes": 1,
                "boxes_per_image": {"min": 0.0, "mean": 1.0, "median": 1.0, "max": 2.0},
            },
        },
        "classes": [
            {"category_id": 2, "name": "cat", "boxes": {"train": 1, "val": 1}},
            {"category_id": 5, "name": "dog", "boxes": {"train": 1, "val": 1}},
        ],
        # sqrt(30 * 40 / (640 * 427)) = 0.0663, sqrt(40 * 27 / (640 * 427)) = 0.0629, sqrt(30 * 21 / 8000) = 0.281, 1
        "relative_sides": {
            "0 to 0.5 %": 0,
            "0.5 to 1 %": 0,
            "1 to 2 %": 0,
            "2 to 4 %": 0,
            "4 to 8 %": 2,
            "8 to 16 %": 0,
            "16 to 32 %": 1,
            "32 to 64 %": 0,
            "64 to 100 %": 1,
        },
        "boxes_per_image": {
            "0": 1,
            "1": 1,
            "2": 2,
            "3 to 4": 0,
            "5 to 8": 0,
            "9 to 16": 0,
            "17 to 32": 0,
            "33 or more": 0,
        },
        "similar_images": [
            {
                "file_name": NAME,
                "image_id": 5,
                "split": "train",
                "similar_to": "000000000008.jpg",
                "similar_to_id": 8,
                "similar_to_split": "val",
                "similarity": 1.0,
            }
        ],
    }


def test_markdown_report(validation: ValidationResult) -> None:
    lines = as_markdown("coco", validation).splitlines()
    assert lines[0] == "## coco: passes"
    assert "4 images, 5 boxes, 2 categories; 1 row in quarantine (10 %, the limit is 100 %)." in lines
    table = [line for line in lines if line.startswith("| ")]
    assert table[:4] == [
        "| split | images | boxes | boxes per image: min | mean | median | max |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| train | 2 | 3 | 1 | 1.5 | 1.5 | 2 |",
        "| val | 2 | 2 | 0 | 1 | 1 | 2 |",
    ]
    table = table[4:]
    assert table[0] == "| check | severity | status | found | first |"
    assert table[2] == (
        r"| image_similar_across_splits | warning | warned | 1 | images row 3, image 5, "
        r"&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;\|\*.jpg in train: split train, similar_to 000000000008.jpg, "
        r"similar_to_id 8, similar_to_split val, similarity 1 |"
    )
    assert table[3] == (
        "| box_size_not_positive | error | quarantined | 1 | "
        "boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4 |"
    )
    assert "<details><summary>33 passed</summary>" in lines
    assert "| box_outside_image | error | passed | tolerance_pixels 1 |  |" in table
    # Markdown needs an empty line before and after every table.
    assert lines[lines.index(table[0]) - 1] == ""
    assert lines[lines.index("</details>") - 1] == ""
    assert len("\n".join(lines)) < 10_000


PASSED_OVER = [
    {"kind": "boxes of classes that are not listed", "count": 1234, "examples": "'cat', 'a|b'"},
    {"kind": "images beyond the limit", "count": 1, "examples": "'7.jpg'"},
]


def test_reports_show_what_was_passed_over() -> None:
    validation = checked(passed_over=PASSED_OVER)
    assert as_json(validation)["passed_over"] == PASSED_OVER
    assert (
        "; 0 rows in quarantine (0 %, the limit is 100 %).\n\nPassed over:\n\n"
        r"- boxes of classes that are not listed: 1,234 ('cat', 'a\|b')"
        "\n- images beyond the limit: 1 ('7.jpg')\n\n| split |"
    ) in as_markdown("coco", validation)


def test_markdown_report_begins_with_failures() -> None:
    text = as_markdown("coco", checked(boxes=[*BOXES, box(2, 7, 5, (1, 2, -3, 4))], max_quarantined_fraction=0.1))
    assert text.startswith(
        "## coco: fails\n\n- **1 of 7 rows (14.3 %) are in quarantine, the limit is 10 % (box_size_not_positive 1; "
        "first: boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4)**\n\n"
    )


def test_markdown_report_counts_checks_that_did_not_run() -> None:
    validation = checked(image_tiny={"severity": "off"})
    validation.results.extend(run_drift_checks(checks(), "no tables at HEAD", validation.statistics))
    assert "<details><summary>34 passed, 1 off, 5 not run</summary>" in as_markdown("coco", validation)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b_c", "a_b_c"),
        ("_a_ *b* `c` [d](e)", r"\_a\_ \*b\* \`c\` \[d\](e)"),
        ("one\ntwo\r\n three", "one two three"),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_markdown_is_escaped(text: str, expected: str) -> None:
    assert escape_markdown(text) == expected


# --- page -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(validation: ValidationResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("page") / "validate.html"
    write_validation_page(written, "coco", validation, validation.files)
    return written


def test_page_has_report_and_thumbnails(path: Path, validation: ValidationResult) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("</script") == 2
    [content] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    data = json.loads(content)
    report = as_json(validation)
    for pair in report["similar_images"]:
        del pair["image_id"], pair["similar_to_id"]
    assert data["report"] == report
    [[_, other]] = data["thumbnails"]
    kind, _, encoded = other.partition(",")
    assert kind == "data:image/png;base64"
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.tobytes() == STEPS
    assert [row["reason"] for row in data["quarantine"]] == ["box_size_not_positive"]


def test_no_id_reaches_the_page_as_a_number(tmp_path: Path) -> None:
    """JavaScript rounds numbers above 2^53: neighboring ids would be one."""
    ids = [2**62 - 1, 2**62 - 2]
    images = [*IMAGES, image(ids[0], "train"), image(ids[1])]
    boxes = [*BOXES, box(2**62 - 3, ids[1], 5, (1, 2, -3, 4))]
    large = checked(images, boxes, files=[{"thumbnail": RINGS}, {"thumbnail": STEPS}])
    write_validation_page(tmp_path / "page.html", "coco", large, large.files)
    [content] = re.findall(r'id="data">(.*?)</script>', (tmp_path / "page.html").read_text(encoding="utf-8"))
    numbers: list[int] = []
    data = json.loads(content, parse_int=lambda text: numbers.append(int(text)))
    assert max(map(abs, numbers)) < 2**53
    assert len(data["thumbnails"]) == len(data["report"]["similar_images"]) == 1
    assert [row["row_id"] for row in data["quarantine"]] == [str(2**62 - 3)]


def test_page_is_reproducible(path: Path, validation: ValidationResult, tmp_path: Path) -> None:
    write_validation_page(tmp_path / "again.html", "coco", validation, validation.files)
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


@pytest.fixture(params=[1280, 390], ids=["wide", "narrow"])
def page(browser: Browser, path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The open page, which must stay quiet during a test."""
    with quiet_page(browser, path, viewport={"width": request.param, "height": 900}) as opened:
        yield opened


@pytest.mark.slow
def test_page_shows_findings_and_collapses_passed_checks(page: Page) -> None:
    assert page.title() == "Checks of coco"
    assert page.locator("h1").inner_text() == "Checks of coco: passes with warnings"
    rows = page.locator(".checks").first.locator("tbody tr")
    assert [row.locator(".name").inner_text() for row in rows.all()] == [
        "image_similar_across_splits",
        "box_size_not_positive",
    ]
    assert rows.nth(1).locator(".example").inner_text() == (
        "boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4"
    )
    collapsed = page.locator("details .name", has_text="box_outside_image")
    assert not collapsed.is_visible()
    page.get_by_text("33 passed").click()
    assert collapsed.is_visible()
    assert page.get_by_text("A box that exceeds its image").is_visible()


@pytest.mark.slow
def test_page_shows_similar_images_quarantine_and_class_balance(page: Page) -> None:
    pair = page.locator("figure")
    assert pair.locator("p").all_inner_texts() == [f"train: {NAME}", "val: 000000000008.jpg", "similarity 1.000"]
    loaded = pair.locator("img").evaluate_all("images => images.map((image) => image.naturalWidth)")
    assert loaded == [16, 16]
    assert page.locator(".rows tbody td").all_inner_texts() == [
        "boxes",
        "5",
        "2",
        "val",
        "000000000007.jpg",
        "",
        "box_size_not_positive",
        '{"width":-3.0,"height":4.0}',
    ]
    classes = page.locator("section", has=page.get_by_role("heading", name="Classes"))
    assert classes.locator("tbody td.number").all_inner_texts() == ["1", "1", "1", "1"]
    sizes = page.locator("section", has=page.get_by_role("heading", name="Sizes of boxes"))
    widths = sizes.locator("rect").evaluate_all("all => all.map((one) => Number(one.getAttribute('width')))")
    assert widths == [0, 0, 0, 0, 1, 0, 0.5, 0, 0.5]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.slow
def test_page_of_failing_dataset_begins_with_failures(browser: Browser, tmp_path: Path) -> None:
    refused = {"file": "labels/a.txt", "element": "line", "number": 3, "reason": "received x"}
    bad = box(2, 7, 5, (1, 2, -3, 4))
    validation = checked(
        boxes=[*BOXES, bad],
        refused=[refused],
        passed_over=PASSED_OVER,
        has_locations=True,
        max_quarantined_fraction=0.1,
    )
    write_validation_page(tmp_path / "page.html", "coco", validation, validation.files)
    with quiet_page(browser, tmp_path / "page.html") as opened:
        assert opened.locator("h1").inner_text() == "Checks of coco: fails"
        assert opened.locator("header li").all_inner_texts() == validation.failures()
        quarantine, passed_over = (
            opened.locator("section", has=opened.get_by_role("heading", name=name)).locator("tbody td")
            for name in ("Quarantine", "Passed over")
        )
        assert quarantine.all_inner_texts()[:8] == [
            *["refused", "", "", "", "", "labels/a.txt, line 3"],
            *["annotation_refused", '{"reason":"received x"}'],
        ]
        assert quarantine.all_inner_texts()[13] == "boxes.csv, line 5"
        assert passed_over.all_inner_texts() == [
            *["boxes of classes that are not listed", "1,234", "'cat', 'a|b'"],
            *["images beyond the limit", "1", "'7.jpg'"],
        ]
