"""`boxline predict` from its arguments to its files, with models whose predictions are computed by hand."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pipeline.cli.predict import MAX_TABLE_ROWS, counts_table
from pipeline.inference import predict_images
from pipeline.plots.colors import class_color
from pipeline.pretrained.config import DETECTOR_FILES
from pipeline.systems.digits_localizer.system import DigitsLocalizer
from tests.support.commands import run_command
from tests.support.drawn_pixels import extent_in, pixels_of, shows
from tests.support.presets import write_preset
from tests.support.servers import serving
from tests.support.trained_models import write_detector, write_localizer

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
BROKEN = Path(__file__).parents[3] / "shared" / "data" / "broken" / "images"

Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_localizer(tmp_path_factory.mktemp("localizer") / "train"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_detector(tmp_path_factory.mktemp("detector") / "train"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Run:
    """Runs the command in an empty folder and returns its exit code and log lines."""
    monkeypatch.chdir(tmp_path)

    return partial(run_command, monkeypatch, caplog, "predict")


def paint(path: str, color: tuple[int, int, int] = RED, width: int = 200, height: int = 100) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), color).save(path, quality=95)


def written(out: str = "predictions") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(out) / "predictions.json").read_text())
    return content


def files(out: str = "predictions") -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in Path(out).rglob("*") if path.is_file())


def test_box_is_in_pixels_of_the_original_image(run: Run, localizer: str) -> None:
    paint("photo.png")
    code, lines = run(localizer, "photo.png")
    assert (code, lines) == (0, ["Annotated images and predictions.json are in predictions.", "1 image done"])
    # 200 x 100 becomes 40 x 20 with 10 px above. The prediction 0.25, 0.4, 0.75, 0.6 of 40 px is 10, 16, 30, 24; minus
    # the padding 10, 6, 30, 14; times 5: 50, 30, 150, 70.
    content = written()
    [annotation] = content["annotations"]
    assert annotation.pop("bbox") == pytest.approx([50, 30, 100, 40], abs=1e-4)
    assert annotation.pop("area") == pytest.approx(4000, abs=1e-2)
    assert annotation.pop("score") == pytest.approx(0.8, abs=1e-5)
    assert annotation == {"id": 1, "image_id": 1, "category_id": 3, "iscrowd": 0}
    assert content["images"] == [
        {
            "id": 1,
            "file_name": "photo.png",
            "width": 200,
            "height": 100,
            "files": ["photo.png"],
            "counts": {"red": 1},
        }
    ]
    assert content["categories"] == [{"id": 3, "name": "red"}, {"id": 5, "name": "green"}, {"id": 9, "name": "blue"}]


@pytest.mark.parametrize(("name", "color", "label"), [("photo.png", RED, 0), ("photo.jpg", BLUE, 2)])
def test_annotated_image_shows_the_box_in_the_color_of_its_class(
    run: Run, localizer: str, name: str, color: tuple[int, int, int], label: int
) -> None:
    paint(name, color, width=800, height=400)
    run(localizer, name)
    pixels = pixels_of(Path("predictions") / name)
    assert pixels.shape == (400, 800, 3)
    left, top, right, bottom = extent_in(pixels, class_color(label))
    if label:  # the color of label 0 is too similar to red
        assert (left, right, bottom) == pytest.approx((0.25, 0.75, 0.7), abs=0.01)
        assert 0.2 < top < 0.3  # the name is above the box, whose top is at 0.3


def test_pycocotools_reads_predictions(run: Run, localizer: str) -> None:
    paint("a.png")
    paint("b.png", BLUE, width=100, height=200)
    run(localizer, "a.png", "b.png")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO("predictions/predictions.json")
        results = coco.loadRes(written()["annotations"])
    assert coco.getImgIds() == [1, 2]
    assert [coco.loadAnns(coco.getAnnIds(imgIds=i))[0]["category_id"] for i in (1, 2)] == [3, 9]
    assert len(results.getAnnIds()) == 2


def test_images_of_several_batches_keep_their_own_predictions(run: Run, localizer: str) -> None:
    colors = [(RED, 3), (GREEN, 5), (BLUE, 9)]
    for number in range(11):
        paint(f"photos/{number:02d}.png", colors[number % 3][0], width=100 + number)
    code, lines = run(localizer, "photos")
    assert (code, lines[-1]) == (0, "11 images done")
    content = written()
    assert [entry["width"] for entry in content["images"]] == list(range(100, 111))
    assert [entry["category_id"] for entry in content["annotations"]] == [colors[n % 3][1] for n in range(11)]
    assert [entry["id"] for entry in content["annotations"]] == list(range(1, 12))


def test_exif_orientation_applies_to_image_and_box(run: Run, localizer: str) -> None:
    upright = np.zeros((100, 200, 3), np.uint8)
    upright[:, :100] = RED
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers rotate it clockwise
    Image.fromarray(np.rot90(upright).copy()).save("rotated.png", exif=exif)
    with Image.open("rotated.png") as stored:
        assert stored.size == (100, 200)
    run(localizer, "rotated.png")
    [image] = written()["images"]
    assert (image["width"], image["height"]) == (200, 100)
    assert written()["annotations"][0]["bbox"] == pytest.approx([50, 30, 100, 40], abs=1e-4)
    pixels = pixels_of(Path("predictions/rotated.png"))
    assert pixels.shape == (200, 400, 3)  # enlarged twice for legible names
    assert pixels[10, 10].tolist() == [1, 0, 0]
    assert pixels[10, 390].tolist() == [0, 0, 0]


def test_model_trained_on_crops_gets_crops_and_its_boxes_follow_the_letterbox(run: Run, tmp_path: Path) -> None:
    """The mistake of the published code is reproduced: the sides of a wide image are cropped."""
    model = write_localizer(tmp_path / "cropped", resize="crop")
    pixels = np.full((100, 200, 3), RED, np.uint8)
    pixels[:, 50:150] = GREEN
    Image.fromarray(pixels).save("photo.png")
    run(str(model), "photo.png")
    [annotation] = written()["annotations"]
    assert annotation["category_id"] == 5
    assert annotation["score"] == pytest.approx(64 / 66, abs=1e-4)  # twice the logit of a half-filled model input
    assert annotation["bbox"] == pytest.approx([50, 30, 100, 40], abs=1e-4)


def test_sixteen_bit_gray_image_for_a_model_with_one_channel(run: Run, tmp_path: Path) -> None:
    model = write_localizer(tmp_path / "gray", channels=1)
    Image.fromarray(np.full((60, 60), 102 * 257, np.uint16)).save("gray.png")
    run(str(model), "gray.png")
    [annotation] = written()["annotations"]
    odds = 8 ** (102 / 255 / 0.5)
    assert annotation["score"] == pytest.approx(odds / (odds + 2), abs=1e-4)


def test_folders_and_patterns_are_expanded_in_order_without_duplicates(run: Run, localizer: str) -> None:
    for name in ("b.png", "sub/a.JPG", "sub/deep/c.webp", ".hidden.png"):
        paint(f"photos/{name}")
    Path("photos/notes.txt").write_text("no image")
    run(localizer, "photos/b.png", "photos", "photos/*/*.JPG")
    names = [image["file_name"] for image in written()["images"]]
    assert names == ["photos/b.png", "photos/sub/a.JPG", "photos/sub/deep/c.webp"]
    assert files() == ["a.jpg", "b.png", "c.png", "predictions.json"]
    run(localizer, str(Path("photos/**/*.webp").absolute()))
    assert [Path(image["file_name"]).name for image in written()["images"]] == ["c.webp"]


def test_annotated_images_of_a_previous_run_are_not_inputs(run: Run, localizer: str) -> None:
    paint("a.png")
    for _ in range(2):
        run(localizer, ".")
        assert [image["file_name"] for image in written()["images"]] == ["a.png"]


def test_annotated_images_with_equal_names_neither_collide_nor_leave_the_folder(run: Run, localizer: str) -> None:
    names = ["one/a.png", "two/a.png", "two/A.jpg", "_-_.png", f"{'n' * 200}.png", "x y$z.png"]
    for name in names:
        paint(name)
    run(localizer, *names)
    assert [image["file_name"] for image in written()["images"]] == names
    assert [image["files"] for image in written()["images"]] == [
        ["a.png"],
        ["a-2.png"],
        ["A-3.jpg"],
        ["image.png"],
        [f"{'n' * 200}.png"],
        ["x_y_z.png"],
    ]
    assert len(files()) == 7
    assert sorted(path.name for path in Path().iterdir() if path.is_dir()) == ["one", "predictions", "two"]


def test_names_are_cut_to_the_bytes_that_the_file_system_takes(run: Run, localizer: str) -> None:
    """Names of 252 bytes, and ten of 243 that need a number too."""
    long, shared = "\N{MATHEMATICAL SANS-SERIF BOLD CAPITAL A}" * 62, "\u732b" * 80
    names = [f"{long}.jpg", *(f"{number}/{shared}.jpg" for number in range(10)), "other.jpg"]
    for name in names:
        paint(name)
    code, lines = run(localizer, *names)
    assert (code, lines[-1]) == (0, "12 images done")
    [first], second, *_ = ([Path(name).stem for name in image["files"]] for image in written()["images"])
    assert long.startswith(first)
    assert len(first) == 55  # of four bytes each
    assert second == ["\u732b" * 74]
    assert {"\u732b" * 73 + f"-{number}.jpg" for number in range(2, 11)} < set(files())
    assert len(files()) == 13


def test_image_whose_files_are_refused_by_the_file_system_is_reported(
    run: Run, localizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_images, "RESERVED_NAME_BYTES", 0)
    for name in ("long.png", "good.png"):
        paint(name)
    monkeypatch.setattr(predict_images, "image_stem", lambda name: "n" * 300 if name == "long.png" else "good")
    code, lines = run(localizer, "long.png", "good.png")
    assert code == 1
    assert lines[0] == "long.png: its files cannot be written (File name too long). Rename it."
    assert files() == ["good.png", "predictions.json"]


def test_unreadable_images_are_reported_and_the_others_predicted(run: Run, localizer: str) -> None:
    paint("good.png")
    paint("last.png", BLUE)
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save("cut.png")
    Path("cut.png").write_bytes(Path("cut.png").read_bytes()[:900])
    Path("page.jpg").write_text("<html>")
    code, lines = run(localizer, "good.png", "cut.png", "page.jpg", "last.png")
    assert code == 1
    assert lines[0].startswith("cut.png does not decode (")
    assert lines[1:] == [
        "page.jpg does not decode (no known image format). Give another image.",
        "Annotated images and predictions.json are in predictions.",
        "2 images done, 2 could not be read",
    ]
    assert [entry["image_id"] for entry in written()["annotations"]] == [1, 2]
    assert [entry["file_name"] for entry in written()["images"]] == ["good.png", "last.png"]


def test_file_that_is_too_large_is_reported(run: Run, localizer: str) -> None:
    with Path("large.jpg").open("wb") as file:
        file.truncate((64 << 20) + 1)
    code, lines = run(localizer, "large.jpg")
    assert code == 1
    assert lines[0] == "large.jpg has 67108865 bytes, expected at most 67108864."


def test_previous_run_is_kept_if_no_image_can_be_read(run: Run, localizer: str) -> None:
    paint("good.png")
    run(localizer, "good.png")
    Path("bad.png").write_bytes(b"")
    code, lines = run(localizer, "bad.png")
    assert (code, lines[-1]) == (1, "Error: None of 1 images could be read; nothing was written.")
    assert files() == ["good.png", "predictions.json"]
    assert not list(Path().glob(".*partial*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nowhere.jpg",
            "nowhere.jpg not found. "
            "An input is an image, a folder, a pattern such as 'photos/*.jpg', or an http(s) URL.",
        ),
        (
            "photos/*.jpg",
            "photos/*.jpg not found. "
            "An input is an image, a folder, a pattern such as 'photos/*.jpg', or an http(s) URL.",
        ),
        (
            "photos",
            "photos holds no images, expected names that end in "
            ".bmp, .gif, .jpeg, .jpg, .png, .ppm, .tif, .tiff, .webp.",
        ),
    ],
)
def test_input_without_an_image_is_reported(run: Run, localizer: str, text: str, message: str) -> None:
    Path("photos").mkdir()
    assert run(localizer, text) == (1, [f"Error: {message}"])


class Handler(BaseHTTPRequestHandler):
    """/photo.png is an image, /page is HTML, /huge has a length of 1 GB, /endless has none; other paths are missing."""

    def do_GET(self) -> None:
        content = io.BytesIO()
        Image.new("RGB", (200, 100), GREEN).save(content, "PNG")
        name = self.path.partition("?")[0].rsplit("/", 1)[-1]
        if name not in ("photo.png", "page", "huge", "endless"):
            self.send_error(404, "Not Found")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if name == "page" else "image/png")
        if name != "endless":
            self.send_header("Content-Length", str(1 << 30 if name == "huge" else len(content.getvalue())))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content.getvalue())
            while name == "endless":
                self.wfile.write(bytes(1 << 20))

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(Handler) as address:
        yield address


def test_urls_are_downloaded_and_credentials_are_redacted(run: Run, localizer: str, server: str) -> None:
    good = f"{server}/album/photo.png"
    with_secrets = good.replace("://", "://me:password@") + "?token=abc"
    code, lines = run(localizer, with_secrets, f"{server}/page", f"{server}/gone.jpg", f"{server}/huge")
    assert code == 1
    assert lines == [
        f"{server}/page is a web page, not a file. Give the URL of an image.",
        f"{server}/gone.jpg returned 404 Not Found. Give the URL of an image.",
        f"{server}/huge has 1073741824 bytes, more than 67108864 allowed.",
        "Annotated images and predictions.json are in predictions.",
        "1 image done, 3 could not be read",
    ]
    [image] = written()["images"]
    assert (image["file_name"], image["files"]) == (good, ["photo.png"])
    assert written()["annotations"][0]["bbox"] == pytest.approx([50, 30, 100, 40], abs=1e-4)


def test_download_that_never_ends_is_stopped(
    run: Run, localizer: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.inference.inputs.MAX_IMAGE_BYTES", 3 << 20)
    _, lines = run(localizer, f"{server}/endless")
    assert lines[0] == f"{server}/endless sent more than the {3 << 20} bytes allowed."


def test_detector_predicts_several_boxes_highest_score_first(run: Run, detector: str) -> None:
    paint("photo.png")
    run(detector, "photo.png", "--score-threshold", "0.05")
    first, second = written()["annotations"]
    # The first cell of the second row has its center at 0.25, 0.75 of the model input: 10, 30 of 40 px. The box is
    # 10 x 5 px: 5, 27.5 to 15, 32.5; minus 10 px of padding and times 5: 25, 87.5, 50 wide, 25 high. It exceeds the
    # image by 12.5 px below and is not clipped.
    assert first["bbox"] == pytest.approx([25, 87.5, 50, 25], abs=1e-3)
    assert (first["category_id"], second["category_id"]) == (5, 3)
    assert [first["score"], second["score"]] == pytest.approx([0.6, 0.1])
    assert second["bbox"] == pytest.approx([125, 87.5, 50, 25], abs=1e-3)


@pytest.mark.parametrize(("threshold", "boxes"), [("0.6001", 0), ("0.3", 1), ("0.05", 2)])
def test_boxes_below_the_threshold_are_omitted(run: Run, detector: str, threshold: str, boxes: int) -> None:
    paint("photo.png", (0, 0, 0))
    _, lines = run(detector, "photo.png", "--score-threshold", threshold)
    assert len(written()["annotations"]) == boxes
    pixels = pixels_of(Path("predictions/photo.png"))
    assert [shows(pixels, class_color(label)) for label in (5, 3)] == [boxes > 0, boxes > 1]
    hint = "No box has a score of 0.6001 or more; the highest is 0.6. A lower --score-threshold shows more."
    assert (hint in lines) is (boxes == 0)


def test_counts_are_printed_by_image_and_class(run: Run, detector: str, capsys: pytest.CaptureFixture[str]) -> None:
    paint("a.png")
    paint("b.png")
    run(detector, "a.png", "b.png", "--score-threshold", "0.05")
    assert [image["counts"] for image in written()["images"]] == [{"green": 1, "red": 1}] * 2
    assert capsys.readouterr().out.splitlines() == [
        "image           boxes  classes",
        "------------  -------  --------------",
        "a.png               2  green 1, red 1",
        "b.png               2  green 1, red 1",
        "all 2 images        4  green 2, red 2",
    ]


def test_table_of_counts_is_limited() -> None:
    lines = counts_table([(f"{number}.png", {"cat": 1}) for number in range(MAX_TABLE_ROWS + 7)])
    assert len(lines) == MAX_TABLE_ROWS + 4
    assert lines[-2].rstrip() == "7 more in predictions.json"
    assert lines[-1].split() == ["all", "57", "images", "57", "cat", "57"]


def test_crops_have_the_pixels_of_the_original_image(run: Run, localizer: str) -> None:
    pixels = np.random.default_rng(5).integers(0, 120, (100, 200, 3)).astype(np.uint8)
    pixels[..., 0] = 255
    for folder in ("one", "two"):
        Path(folder).mkdir()
        Image.fromarray(pixels).save(f"{folder}/photo.png")
    run(localizer, "one", "two", "--crops")
    assert [annotation["crop"] for annotation in written()["annotations"]] == [
        "crops/photo/1-red.png",
        "crops/photo-2/1-red.png",
    ]
    assert written()["images"][1]["files"] == ["photo-2.png", "crops/photo-2/1-red.png"]
    with Image.open("predictions/crops/photo/1-red.png") as crop:
        # The box is 50, 30, 100, 40 within 1e-4 px, and is enlarged to whole pixels.
        assert np.abs(np.array(crop.size) - (100, 40)).max() <= 2
        left, top = (50 - (crop.width > 101), 30 - (crop.height > 41))
        shown = np.asarray(crop)
    starts = [(y, x) for y in (top - 1, top, top + 1) for x in (left - 1, left, left + 1)]
    height, width = shown.shape[:2]
    assert any(np.array_equal(shown, pixels[y : y + height, x : x + width]) for y, x in starts)
    run(localizer, "one", "--crops")  # crops of the previous run are replaced
    assert files() == ["crops/photo/1-red.png", "photo.png", "predictions.json"]


def test_crop_is_clipped_to_the_image_and_named_by_its_class(run: Run, detector: str, tmp_path: Path) -> None:
    """The box 25, 87.5 of 50 x 25 px exceeds the image of 100 px height by 12.5 px."""
    model = tmp_path / "model"
    shutil.copytree(detector, model)
    labels = json.loads((model / "labels.json").read_text())
    labels["names"][5], labels["names"][3] = "../../N/A: $5", "é" * 300
    (model / "labels.json").write_text(json.dumps(labels))
    paint("photo.jpg")
    code, _ = run(str(model), "photo.jpg", "--crops", "--score-threshold", "0.05")
    assert code == 0
    first, second = (annotation["crop"] for annotation in written()["annotations"])
    assert first == "crops/photo/1-.._.._N_A_5.jpg"
    assert second.startswith("crops/photo/2-éé")
    assert len(Path(second).name.encode()) <= 255
    with Image.open(Path("predictions") / first) as crop:
        assert (crop.height, crop.format) == (13, "JPEG")
        assert crop.width in (50, 51, 52)


def test_views_are_written_for_each_image(run: Run, detector: str) -> None:
    paint("one/a.png")
    paint("two/a.png")
    for _ in range(2):  # the second run replaces the views of the first
        code, _ = run(detector, "one", "two", "--views")
        assert code == 0
    assert files() == ["a-2.png", "a.png", "predictions.json", "views/a-2/grid.png", "views/a/grid.png"]
    assert written()["images"][1]["files"] == ["a-2.png", "views/a-2/grid.png"]


def test_view_writer_receives_one_image_at_a_time(run: Run, localizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def write_views(
        folder: Path, model_inputs: Any, outputs: Any, ground_truth: Any, predictions: Any, *_: object
    ) -> None:
        calls.append((folder.name, model_inputs[0, 20, 20].tolist(), outputs["label"].argmax(axis=1).tolist()))
        assert (len(model_inputs), len(ground_truth[0]), len(predictions)) == (1, 0, 1)
        assert predictions[0].labels.tolist() == calls[-1][2]

    monkeypatch.setattr(DigitsLocalizer, "view_writer", lambda _: write_views)
    paint("a.png", GREEN)
    paint("b.png", BLUE)
    run(localizer, "a.png", "b.png", "--views")
    assert calls == [("a", list(GREEN), [1]), ("b", list(BLUE), [2])]


def test_system_without_views_is_reported(run: Run, localizer: str) -> None:
    paint("a.png")
    assert run(localizer, "a.png", "--views") == (
        1,
        ["Error: digits_localizer has no views of its own. Omit --views."],
    )


def test_previous_run_is_replaced_and_other_files_never(run: Run, localizer: str) -> None:
    paint("a.png")
    paint("b.png")
    run(localizer, "a.png", "--out", "some/out")
    run(localizer, "b.png", "--out", "some/out")
    assert files("some/out") == ["b.png", "predictions.json"]
    Path("some/out/mine.png").write_bytes(b"mine")
    message = (
        "Error: --out: some/out holds files that no previous run wrote (mine.png), "
        "and the whole folder would be replaced. Give another folder."
    )
    assert run(localizer, "a.png", "--out", "some/out") == (1, [message])
    assert files("some/out") == ["b.png", "mine.png", "predictions.json"]
    code, [line] = run(localizer, "a.png", "--out", ".")
    assert code == 1
    assert line.startswith("Error: --out: . holds files that no previous run wrote (a.png, b.png, some/out/b.png")
    assert run(localizer, "a.png", "--out", "a.png") == (1, ["Error: --out: a.png is a file, expected a folder."])
    assert run(localizer, "a.png", "--out", "a.png/x") == (1, ["Error: --out: a.png is a file, expected a folder."])


@pytest.mark.parametrize("content", ["[]", "{", '{"images": [{}]}', '{"images": 3}', '{"images": [{"files": 3}]}'])
def test_predictions_file_of_another_program_is_not_replaced(run: Run, localizer: str, content: str) -> None:
    paint("a.png")
    Path("out").mkdir()
    Path("out/predictions.json").write_text(content)
    code, [line] = run(localizer, "a.png", "--out", "out")
    assert code == 1
    assert line.startswith("Error: --out: out holds files that no previous run wrote (predictions.json)")
    assert Path("out/predictions.json").read_text() == content


def test_interrupted_run_leaves_no_files(run: Run, localizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    paint("a.png")
    monkeypatch.setattr(predict_images, "save_annotated_image", interrupt)
    code, lines = run(localizer, "a.png")
    assert code == 130
    assert lines == ["Interrupted. No output is half-written; run the same command again to restart or resume."]
    assert [path.name for path in Path().iterdir()] == ["a.png"]


@pytest.mark.slow
def test_published_weights_need_no_model_folder(run: Run, tmp_path: Path) -> None:
    preset = write_preset(tmp_path / "preset", image_size=(64, 64))
    paint("photo.png")
    code, lines = run("--pretrained", str(preset), "photo.png", "--score-threshold", "0.5", "--crops")
    assert (code, lines[-1]) == (0, "1 image done")
    content = written()
    assert content["info"] == {"model": str(preset), "score_threshold": 0.5}
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert (len(names), names[1], names[90]) == (90, "person", "toothbrush")
    assert sum(content["images"][0]["counts"].values()) == len(content["annotations"]) > 0
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        in_image = min(x + width, 200) > max(x, 0) and min(y + height, 100) > max(y, 0)
        assert (annotation["crop"] is not None) is in_image
    kept = run("--pretrained", "retinanet_51", "photo.png")
    assert (kept[0], len(kept[1])) == (1, 1)
    assert kept[1][0].startswith("Error: --pretrained: received 'retinanet_51', expected one of retinanet_resnet50_fpn")
    assert written() == content


def test_all_arguments_are_checked_before_a_model_is_loaded(run: Run, localizer: str, tmp_path: Path) -> None:
    assert run(localizer) == (1, [f"Error: No image is given. Type: boxline predict {localizer} photo.jpg"])
    preset = tmp_path / "preset"
    preset.mkdir()
    for name in DETECTOR_FILES:
        (preset / name).touch()  # would be reported as soon as they are loaded
    assert run("--pretrained", str(preset), "gone.png")[1][0].startswith("Error: gone.png not found.")
    code, [line] = run("--pretrained", str(preset), "--views", str(preset / "task.json"))
    assert (code, line) == (1, "Error: coco_retinanet has no views of its own. Omit --views.")


def test_name_of_a_system_suggests_its_model_folder(run: Run, localizer: str) -> None:
    paint("a.png")
    shutil.copytree(localizer, "data/coco_yolo/train")
    guess = "Error: {} is not a model folder; did you mean data/coco_yolo/train?"
    assert run("coco_yolo", "a.png") == (1, [guess.format("coco_yolo")])
    assert run("data/coco_yolo", "a.png") == (1, [guess.format("data/coco_yolo")])
    Path("data/coco_yolo/train/model_config.json").unlink()
    assert run("data/coco_yolo/train", "a.png") == (
        1,
        [
            "Error: data/coco_yolo/train is not a model folder: it lacks model_config.json. "
            "Give the folder that a train stage wrote, such as data/coco_yolo/train."
        ],
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "model_config.json",
            "{",
            "is not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 ",
        ),
        (
            "model_config.json",
            {"module": "labels"},
            ": module: received 'labels', expected one of anchor_free_detector, ",
        ),
        ("model_config.json", {"module": "os"}, ": module: received 'os', expected one of anchor_free_detector, "),
        ("model_config.json", {"module": "../../evil"}, ": module: received '../../evil', expected "),
        ("model_config.json", {"module": "a.b"}, ": module: received 'a.b', expected "),
        ("model_config.json", {"image_size": 99999}, ": image_size: received 99999, expected an integer <= 4096."),
        (
            "model_config.json",
            {"resize": "squeeze"},
            ": resize: received 'squeeze', expected 'letterbox', 'crop' or 'stretch'.",
        ),
        (
            "model_config.json",
            {"image_size": 50},
            "model.keras takes images of shape (None, 40, 40, 3), model_config.json says ",
        ),
        ("labels.json", {"names": ["a"]}, ": received 3 category ids and 1 names, expected one of each per label."),
        ("labels.json", {"category_ids": ["x"]}, ": category_ids.0: received 'x', expected an integer."),
        ("labels.json", {"category_ids": [1], "names": ["a"]}, "model.keras predicts label 2, labels.json names 1 "),
        ("model.keras", "no model", "model.keras is not a model that can be loaded ("),
    ],
)
def test_corrupt_model_folder_is_reported(
    run: Run, localizer: str, name: str, content: str | dict[str, Any], message: str
) -> None:
    paint("a.png", BLUE)
    shutil.copytree(localizer, "model")
    path = Path("model") / name
    path.write_text(content if isinstance(content, str) else json.dumps(json.loads(path.read_text()) | content))
    code, [line] = run("model", "a.png")
    assert code == 1
    assert line.startswith("Error: model/")
    assert message in line
    assert not Path("predictions").exists()


@pytest.mark.parametrize("value", ["1.5", "nan", "-1", "much"])
def test_threshold_outside_zero_to_one_is_rejected(run: Run, localizer: str, value: str) -> None:
    assert run(localizer, "a.png", f"--score-threshold={value}")[0] == 2


@pytest.mark.real_data
@pytest.mark.skipif(not BROKEN.is_dir(), reason="no broken images: ../shared/data is not there")
def test_corrupt_images_are_reported(run: Run, localizer: str) -> None:
    code, lines = run(localizer, str(BROKEN), "--score-threshold", "0")
    assert code == 1
    assert lines[-1] == "8 images done, 5 could not be read"
    lines_by_name = {Path(line.partition(" does not decode ")[0]).name: line for line in lines[:5]}
    assert sorted(lines_by_name) == [
        "decompression_bomb.png",
        "header_only.jpg",
        "really_html.jpg",
        "truncated.jpg",
        "zero_bytes.jpg",
    ]
    assert "(Image size (900000000 pixels) exceeds limit of " in lines_by_name["decompression_bomb.png"]
    sizes = {Path(i["file_name"]).name: (i["width"], i["height"]) for i in written()["images"]}
    with Image.open(BROKEN / "exif_rotated.jpg") as stored:
        assert sizes["exif_rotated.jpg"] == stored.size[::-1]
    assert sizes["one_pixel.png"] == (1, 1)
    assert len(written()["annotations"]) == 8
