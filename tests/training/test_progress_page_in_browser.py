"""The progress page in a browser, which opens the file from disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from pipeline.training.progress_page import Box, Epoch, ImagePredictions, write_progress_page
from tests.support import progress_page_scene as scene
from tests.support.pages import quiet_page, watch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("viewer") / "page.html"
    write_progress_page(written, scene.TITLE, scene.images(), scene.NAMES, scene.TRUTH, scene.EPOCHS)
    return written


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Page]:
    """The open page, which must stay quiet during a test."""
    with quiet_page(browser, path) as opened:
        yield opened


def card(page: Page, number: int) -> Locator:
    return page.get_by_role("figure", name=f"Image {number}")


def drawn(page: Page, kind: str, number: int) -> list[tuple[float, ...]]:
    """Edges and label of the drawn boxes of one image, the topmost last."""
    found = []
    for box in card(page, number).locator(f"rect.{kind}").all():
        assert box.is_visible()
        x, y, width, height = (float(box.get_attribute(name) or "") for name in ("x", "y", "width", "height"))
        label = float(box.get_attribute("data-label") or "")
        found.append(tuple(round(value, 5) for value in (x, y, x + width, y + height, label)))
    return found


def logged(boxes: list[Box]) -> list[tuple[float, ...]]:
    return [(box.min_x, box.min_y, box.max_x, box.max_y, box.label) for box in boxes]


def logged_predictions(epoch: int, number: int) -> list[tuple[float, ...]]:
    """The boxes, the highest score last, which is on top."""
    return logged(list(reversed(scene.EPOCHS[epoch].predictions[number - 1].boxes)))


def captions(page: Page, kind: str, number: int) -> list[str]:
    return card(page, number).locator(f".caption.{kind}").all_inner_texts()


def values(page: Page, metric: str) -> list[str]:
    return page.get_by_role("group", name=metric, exact=True).locator(".value").all_inner_texts()


def test_page_opens_with_last_epoch_and_all_boxes(page: Page) -> None:
    for number in (1, 2):
        assert drawn(page, "ground-truth", number) == logged(scene.TRUTH[number - 1])
        assert drawn(page, "prediction", number) == logged_predictions(3, number)
    assert page.locator("#epoch-text").inner_text() == "Epoch 3 of 3 · all layers"
    assert captions(page, "ground-truth", 2) == ["</script><b>dog", "label 4"]
    assert captions(page, "prediction", 2) == ["cat 0.35 · IoU 0.68", "</script><b>dog 0.75 · IoU 0.78"]
    assert card(page, 1).locator(".status").inner_text() == (
        "1 of 1 ground truth box · 2 of 2 predictions · 7 more with lower scores omitted"
    )


@pytest.mark.parametrize(
    ("kind", "boxes"), [("ground-truth", scene.TRUTH[1]), ("prediction", scene.EPOCHS[3].predictions[1].boxes)]
)
def test_box_is_drawn_at_its_position_in_the_image(page: Page, kind: str, boxes: list[Box]) -> None:
    [image] = card(page, 2).get_by_role("img", name="Image 2").all()
    outer = image.bounding_box()
    inner = card(page, 2).locator(f'rect.{kind}[data-label="{boxes[0].label}"]').bounding_box()
    assert outer is not None
    assert inner is not None
    left, top = inner["x"] - outer["x"], inner["y"] - outer["y"]
    edges = [
        left / outer["width"],
        top / outer["height"],
        (left + inner["width"]) / outer["width"],
        (top + inner["height"]) / outer["height"],
    ]
    assert edges == pytest.approx(logged(boxes)[0][:4], abs=0.01)


def test_ground_truth_and_predictions_are_toggled_separately(page: Page) -> None:
    page.get_by_label("Ground truth", exact=True).uncheck()
    assert [drawn(page, "ground-truth", number) for number in (1, 2)] == [[], []]
    assert captions(page, "ground-truth", 2) == []
    assert drawn(page, "prediction", 1) == logged_predictions(3, 1)
    page.get_by_label("Ground truth", exact=True).check()
    page.get_by_label("Predictions", exact=True).uncheck()
    assert drawn(page, "ground-truth", 2) == logged(scene.TRUTH[1])
    assert [drawn(page, "prediction", number) for number in (1, 2)] == [[], []]
    assert card(page, 2).locator(".status").inner_text() == "2 of 2 ground truth boxes · 0 of 2 predictions"


def test_hidden_class_disappears_from_ground_truth_and_predictions(page: Page) -> None:
    assert page.locator("#classes").get_by_role("checkbox").count() == 3
    page.get_by_role("checkbox", name="</script><b>dog").uncheck()
    assert [box[4] for box in drawn(page, "ground-truth", 2)] == [scene.NAMELESS]
    assert [box[4] for number in (1, 2) for box in drawn(page, "prediction", number)] == [scene.CAT, scene.CAT]
    page.get_by_role("button", name="Hide all").click()
    assert page.locator("rect").count() == 0
    page.get_by_role("button", name="Show all").click()
    assert drawn(page, "prediction", 1) == logged_predictions(3, 1)


def test_arrow_keys_change_the_epoch(page: Page) -> None:
    slider = page.get_by_role("slider", name="Epoch")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#epoch-text").inner_text() == "Epoch 2 of 3 · head"
    assert [drawn(page, "prediction", number) for number in (1, 2)] == [logged_predictions(2, n) for n in (1, 2)]
    assert values(page, "loss") == ["1.75", "not a number"]
    assert card(page, 2).locator(".status").inner_text() == (
        "2 of 2 ground truth boxes · 1 of 1 prediction · 1 invalid: not finite, or without area"
    )
    page.keyboard.press("Home")
    assert page.locator("#epoch-text").inner_text() == "Epoch 0 of 3 · before the training"
    assert [drawn(page, "prediction", number) for number in (1, 2)] == [[], logged_predictions(0, 2)]
    assert values(page, "loss") == 2 * ["\u2013"]
    page.keyboard.press("ArrowRight")
    assert [drawn(page, "prediction", number) for number in (1, 2)] == [logged_predictions(1, 1), []]
    assert captions(page, "prediction", 1) == ["cat 0.87 · IoU 0.71"]
    assert values(page, "loss") == ["2.5", "3.25"]
    assert values(page, "accuracy") == ["0.125"]
    slider.blur()
    page.keyboard.press("ArrowRight")  # arrow keys change the epoch without focus, too
    assert page.locator("#epoch-text").inner_text() == "Epoch 2 of 3 · head"


def test_play_shows_all_epochs(browser: Browser, path: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.goto(path.as_uri())
        page.get_by_role("button", name="Play").click()
        seen = [page.locator("#epoch-text").inner_text()]
        for _ in range(3):
            page.clock.run_for(600)
            seen.append(page.locator("#epoch-text").inner_text())
        assert [text[:7] for text in seen] == ["Epoch 0", "Epoch 1", "Epoch 2", "Epoch 3"]
        assert page.get_by_role("button", name="Play").is_visible()


def test_score_threshold_hides_predictions_only(page: Page) -> None:
    page.get_by_label("Score from").fill("0.35")
    assert page.locator("#threshold-text").inner_text() == "0.35"
    assert drawn(page, "prediction", 1) == [(0.11, 0.21, 0.39, 0.89, scene.CAT)]
    assert drawn(page, "prediction", 2) == logged_predictions(3, 2)  # the threshold is inclusive
    page.get_by_label("Score from").fill("0.36")
    assert drawn(page, "prediction", 2) == [(0.29, 0.06, 0.81, 0.23, scene.DOG)]
    assert drawn(page, "ground-truth", 2) == logged(scene.TRUTH[1])


def test_initial_threshold_limits_number_of_predictions(browser: Browser, tmp_path: Path) -> None:
    """Three ground truth boxes, ten predictions: the third highest score is 0.629, so the threshold is 0.62."""
    scores = [0.9, 0.71, 0.629, 0.625, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01]
    boxes = [Box(0.1, 0.1, 0.3, 0.4, scene.CAT, score, 0.5) for score in scores]
    crowd = Epoch(None, {"loss": 1.0}, [ImagePredictions(boxes), ImagePredictions([])])
    write_progress_page(tmp_path / "page.html", "crowd", scene.images(), scene.NAMES, scene.TRUTH, [crowd])
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert opened.locator("#threshold-text").inner_text() == "0.62"
    assert len(drawn(opened, "prediction", 1)) == 4
    opened.close()


def test_captions_can_be_hidden(page: Page) -> None:
    page.get_by_label("Captions", exact=True).uncheck()
    assert page.locator(".caption").count() == 0
    assert drawn(page, "ground-truth", 1) == logged(scene.TRUTH[0])


def test_curves_have_a_point_per_epoch_and_gaps_for_missing_numbers(page: Page) -> None:
    def curve(kind: str) -> str | None:
        curves = page.get_by_role("group", name="loss", exact=True)
        return curves.locator(f"path.{kind}:not(.point)").get_attribute("d")

    # From 0.625 at the bottom (38) to 3.25 at the top (2) of a diagram of 100 x 40.
    first, second = 1 / 3 * 100, 2 / 3 * 100
    assert curve("training") == f"M{first} {38 - 1.875 / 2.625 * 36}L{second} {38 - 1.125 / 2.625 * 36}L100 38"
    assert curve("held-out") == f"M{first} 2M100 {38 - 0.25 / 2.625 * 36}"
    phase_changes = page.get_by_role("group", name="loss", exact=True).locator("path.phase-change")
    assert [change.get_attribute("d") for change in phase_changes.all()] == [f"M{(100 + second) / 2} 0V40"]


def test_markup_in_name_is_shown_as_text(page: Page) -> None:
    assert page.locator("b, i").count() == 0
    assert page.get_by_role("heading", level=1).inner_text() == scene.TITLE
    assert page.title() == scene.TITLE
    assert page.get_by_text("</script><b>dog", exact=True).first.is_visible()


def test_injected_script_is_blocked(browser: Browser, path: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    strange = "<script>document.title = 'taken over'</script><img src='https://example.invalid/a.png'></body>"
    changed.write_text(path.read_text(encoding="utf-8").replace("</body>", strange), encoding="utf-8")
    page = browser.new_page()
    _, complaints = watch(page)
    page.goto(changed.as_uri())
    assert page.title() == scene.TITLE
    assert len(complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in complaints), complaints
    page.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_page_fits_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == width
