"""The page of a diff in a browser, which opens the file from disk."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from pipeline.diff.difference import Snapshot, compare
from pipeline.diff.html_report import section, write_diff_page
from pipeline.diff.previews import image_change_kinds, make_previews, select_images
from pipeline.diff.revisions import DatasetVersion
from pipeline.diff.thumbnails import ThumbnailReader
from tests.support import diff_scene as scene
from tests.support.pages import Parts, quiet_page, watch

pytestmark = pytest.mark.slow

MINUS = "\N{MINUS SIGN}"
EVERY = [scene.QUOTED, "000000000003.jpg", "000000000013.jpg", "000000000009.jpg", "000000000012.jpg"]
EDITED, OTHER_PIXELS, MOVED, REMOVED, ADDED = EVERY


def write(path: Path, before: DatasetVersion, after: DatasetVersion, max_previews: int = 9) -> None:
    """Two datasets: the scene, and one without differences."""
    snapshots = Snapshot.read(before, "old"), Snapshot.read(after, "new")
    difference, none = compare(*snapshots), compare(snapshots[0], snapshots[0])
    indices = select_images(image_change_kinds(difference), max_previews)
    thumbnails = ThumbnailReader(before, "old"), ThumbnailReader(after, "new")
    previews = list(make_previews(difference, indices, *thumbnails))
    sections = [section("shapes", difference, previews), section("<i>other", none, [])]
    write_diff_page(path, "v1 (1234567)", "working <b>tree", sections, ["digits is only in v1."])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diff")
    write(folder / "diff.html", *scene.versions(folder))
    return folder / "diff.html"


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    """The open page, which must stay quiet during a test."""
    with quiet_page(browser, path) as opened:
        yield opened


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("figure", name=name, exact=True)


def shown(page: Page) -> list[str]:
    return [figure.get_attribute("aria-label") or "" for figure in page.get_by_role("figure").all()]


def drawn(figure: Locator, kind: str) -> list[tuple[float, ...]]:
    """Left, top, right and bottom of the rectangles of that kind, relative to the image."""
    found = []
    for outline in figure.locator(f"rect.{kind}").all():
        x, y, width, height = (float(outline.get_attribute(name) or "") for name in ("x", "y", "width", "height"))
        found.append(tuple(round(value, 4) for value in (x, y, x + width, y + height)))
    return found


def captions(figure: Locator) -> list[str]:
    return figure.locator(".caption").all_inner_texts()


def rows(page: Page, name: str) -> list[str]:
    """The rows of a table, with spaces between the cells."""
    lines = page.get_by_role("region", name=name).locator("tbody tr").all_inner_texts()
    return [" ".join(line.split()) for line in lines]


def test_page_opens_with_totals_notes_and_all_images(page: Page) -> None:
    assert page.title() == "Data diff: v1 (1234567) → working <b>tree"
    assert page.locator(".versions").inner_text() == "v1 (1234567) → working <b>tree"
    assert page.get_by_text("digits is only in v1.").is_visible()
    assert page.get_by_role("region", name="images", exact=True).inner_text().split() == [
        *("images", "6", "→", "6", "+1", "added", f"{MINUS}1", "removed"),
        *("2", "changed:", "1", "other", "pixels,", "1", "other", "size,", "1", "other", "split"),
    ]
    assert page.get_by_role("listitem").all_inner_texts() == [
        "Leak: 1 image file now in several splits: train/000000000012.jpg = val/000000000011.jpg.",
        "Leak: 1 image moved into train: 000000000013.jpg from val.",
        f"Classes with another name: cat -> {scene.SCRIPT}.",
    ]
    assert rows(page, "Rows in quarantine") == [f"a 1 0 {MINUS}1", "b 1 2 +1"]
    assert shown(page) == EVERY
    assert page.get_by_role("status").inner_text() == "5 of 5 previews."


def test_boxes_before_and_after_are_drawn_at_their_positions(page: Page) -> None:
    edited = card(page, EDITED)
    moved_before, label, crowd, removed = (
        (0.25, 0.25, 0.5625, 0.5),
        (0, 0.5, 0.25, 1),
        (0.625, 0.75, 0.75, 1),
        (0.5, 0.75, 0.5625, 1),
    )
    moved_after, added = (0.25, 0.25, 0.5, 0.5), (0.125, 0.75, 0.1875, 1)
    assert drawn(edited, "before") == [moved_before, label, crowd, removed]
    assert drawn(edited, "after") == [moved_after, label, crowd, added]
    assert captions(edited) == [
        f"{scene.SCRIPT} · IoU 0.80",
        f"dog → {scene.SCRIPT}",
        "owl · now a crowd",
        f"{MINUS} dog",
        "+ dog",
    ]
    assert edited.locator(".status").inner_text() == "5 of 5 changed boxes"
    assert edited.locator(".chip").all_inner_texts() == [
        "box: added",
        "box: removed",
        "box: moved",
        "box: other class",
        "box: other crowd flag",
    ]
    picture, outline = edited.locator("img").bounding_box(), edited.locator("rect.after").first.bounding_box()
    assert picture is not None
    assert outline is not None
    assert (outline["x"] - picture["x"]) / picture["width"] == pytest.approx(0.25, abs=0.01)
    assert (outline["y"] + outline["height"] - picture["y"]) / picture["height"] == pytest.approx(0.5, abs=0.01)


def test_versions_are_toggled_separately(page: Page) -> None:
    edited = card(page, EDITED)
    page.get_by_label("Before", exact=True).uncheck()
    assert (len(drawn(edited, "before")), len(drawn(edited, "after"))) == (0, 4)
    assert captions(edited) == [f"{scene.SCRIPT} · IoU 0.80", f"dog → {scene.SCRIPT}", "owl · now a crowd", "+ dog"]
    page.get_by_label("Before", exact=True).check()
    page.get_by_label("After", exact=True).uncheck()
    assert (len(drawn(edited, "before")), len(drawn(edited, "after"))) == (4, 0)
    page.get_by_label("Captions", exact=True).uncheck()
    assert captions(edited) == []


def test_unchanged_boxes_are_shown_on_request(page: Page) -> None:
    assert page.locator("rect.same").count() == 0
    page.get_by_label("Unchanged", exact=True).check()
    assert drawn(card(page, EDITED), "same") == [(0.75, 0, 1, 0.125)]
    before, after = card(page, OTHER_PIXELS).locator(".frame").all()
    assert (drawn(before, "same"), drawn(after, "same")) == ([(0.25, 0.25, 0.75, 0.75)], [(0.1667, 0.375, 0.5, 1.125)])


def test_image_with_other_pixels_has_two_frames(page: Page) -> None:
    sizes = page.evaluate(
        "name => [...document.querySelectorAll(`figure[aria-label='${name}'] img`)]"
        ".map(one => [one.alt, one.naturalWidth, one.naturalHeight])",
        OTHER_PIXELS,
    )
    assert sizes == [[f"{OTHER_PIXELS}, before", 40, 60], [f"{OTHER_PIXELS}, after", 60, 40]]
    source = card(page, OTHER_PIXELS).locator("img").last.get_attribute("src") or ""
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        assert image.getpixel((50, 30)) == pytest.approx((200, 200, 20), abs=4)


@pytest.mark.parametrize(
    ("words", "images", "boxes"),
    [
        (["moved"], [EDITED], 1),
        (["other pixels"], [OTHER_PIXELS], 0),
        (["other size", "other split"], [OTHER_PIXELS, MOVED], 0),
        (["other class", "other crowd flag"], [EDITED], 2),
    ],
)
def test_images_are_filtered_by_kind_of_change(page: Page, words: list[str], images: list[str], boxes: int) -> None:
    page.get_by_role("button", name="None", exact=True).click()
    assert shown(page) == []
    assert page.get_by_role("status").inner_text() == "0 of 5 previews."
    for word in words:
        page.locator("#kinds").get_by_text(word, exact=True).click()
    assert shown(page) == images
    assert len(drawn(card(page, EDITED), "after")) == (boxes if EDITED in images else 0)
    page.get_by_role("button", name="All", exact=True).click()
    assert shown(page) == EVERY


def test_added_and_removed_images_have_own_filter_and_keep_their_boxes(page: Page) -> None:
    images, boxes = (page.locator(f"#kinds input[value='{kind} added']") for kind in ("image", "box"))
    boxes.uncheck()
    assert captions(card(page, ADDED)) == ["+ owl", "+ dog"]
    assert "+ dog" not in captions(card(page, EDITED))
    boxes.check()
    images.uncheck()
    assert shown(page) == [EDITED, OTHER_PIXELS, MOVED, REMOVED]


def test_images_are_filtered_by_class(page: Page) -> None:
    choice = page.get_by_label("Class", exact=True)
    assert choice.locator("option").all_inner_texts() == ["all classes", scene.SCRIPT, "dog", "owl"]
    choice.select_option(label="owl")
    assert shown(page) == [EDITED, ADDED]
    assert captions(card(page, EDITED)) == ["owl · now a crowd"]
    assert captions(card(page, ADDED)) == ["+ owl"]
    choice.select_option(label=scene.SCRIPT)
    assert shown(page) == [EDITED, REMOVED]
    assert captions(card(page, EDITED)) == [f"{scene.SCRIPT} · IoU 0.80", f"dog → {scene.SCRIPT}"]
    choice.select_option(label="all classes")
    assert shown(page) == EVERY


def test_counts_per_class_depend_on_selected_split(page: Page) -> None:
    assert rows(page, "Boxes per class") == ["owl 1 2 +1"]
    assert page.get_by_text("2 classes have as many boxes as before.").is_visible()
    page.get_by_label("Split", exact=True).select_option(label="test")
    assert rows(page, "Boxes per class") == [f"{scene.SCRIPT} 1 0 {MINUS}1"]
    page.get_by_label("Split", exact=True).select_option(label="train")
    assert rows(page, "Boxes per class") == [f"{scene.SCRIPT} 1 2 +1", "owl 1 2 +1"]
    page.get_by_role("button", name="owl", exact=True).click()
    assert shown(page) == [EDITED, ADDED]


def test_image_is_enlarged_on_request(page: Page) -> None:
    edited = card(page, EDITED)
    small = edited.locator("img").bounding_box()
    button = edited.get_by_role("button")
    button.click()
    large = edited.locator("img").bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 1.5 * small["width"]
    assert large["width"] / large["height"] == pytest.approx(64 / 48, abs=0.01)
    assert (button.inner_text(), button.get_attribute("aria-pressed")) == ("Reduce", "true")


def test_dataset_is_selected_by_keyboard(page: Page) -> None:
    page.get_by_role("radio", name="shapes").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="<i>other (no differences)").is_checked()
    assert page.get_by_text("No differences.", exact=True).is_visible()
    assert shown(page) == []
    page.keyboard.press("ArrowLeft")
    assert shown(page) == EVERY


def test_names_are_escaped(page: Page, path: Path) -> None:
    assert page.locator("b:not(.tile b):not(label b), i, main script").count() == 0
    assert page.get_by_role("heading", name=scene.QUOTED, exact=True).is_visible()
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script") == 2
    assert {tag for tag, _ in Parts(text).tags} & {"i", "img"} == set()


def test_injected_script_is_blocked(browser: Browser, path: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    strange = "<script>document.title = 'taken over'</script><img src='https://example.invalid/a.png'></body>"
    changed.write_text(path.read_text(encoding="utf-8").replace("</body>", strange), encoding="utf-8")
    page = browser.new_page()
    _, complaints = watch(page)
    page.goto(changed.as_uri())
    assert page.title() == "Data diff: v1 (1234567) → working <b>tree"
    assert len(complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in complaints), complaints
    page.close()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_page_fits_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_missing_pixels_leave_outlines_and_a_reason(browser: Browser, tmp_path: Path) -> None:
    before, after = scene.versions(tmp_path)
    (tmp_path / "new" / "download" / "zips" / "all.zip").unlink()
    write(tmp_path / "diff.html", before, after)
    page = browser.new_page()
    page.goto((tmp_path / "diff.html").as_uri())
    added = card(page, ADDED)
    assert added.locator("img").count() == 0
    assert added.get_by_text(f"zips/all.zip of {tmp_path}/new/validate is not on this machine.").is_visible()
    assert drawn(added, "after") == [(0.1, 0.1, 0.6, 0.6), (0, 0, 0.1, 0.1)]
    ground = added.get_by_role("img", name=f"{ADDED}, after: outlines only").bounding_box()
    assert ground is not None
    assert ground["width"] / ground["height"] == pytest.approx(60 / 40, abs=0.01)
    page.close()


def test_images_without_preview_are_counted(browser: Browser, tmp_path: Path) -> None:
    write(tmp_path / "diff.html", *scene.versions(tmp_path), max_previews=3)
    page = browser.new_page()
    page.goto((tmp_path / "diff.html").as_uri())
    assert page.get_by_role("status").inner_text() == "3 of 3 previews. 2 more changed images have no preview."
    page.close()


def test_page_is_reproducible(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "diff.html", *scene.versions(tmp_path))
    assert (tmp_path / "diff.html").read_bytes() == path.read_bytes()
