from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_members import count_unused, with_member_names
from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.interfaces import Detection
from pipeline.datasets.formats.registry import get_format
from pipeline.datasets.formats.tfrecord_reader import TfRecordOptions, TfRecordReader, parse_label_map
from pipeline.validation.inspection import inspect_images
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree
from tests.support.tfrecord_files import Values, example, record

IMAGE = png(200, 100)
LABEL_MAP = "item { id: 1 name: 'cat' }\nitem {\n  name: \"hot dog\" # food\n  id: 3\n}\n"


def image_example(name: str, **more: Values) -> bytes:
    """An image with two boxes; `more` has features by the ends of their names."""
    keys = {"image/encoded": [IMAGE], "image/filename": [name.encode()], "image/width": [200], "image/height": [100]}
    objects: dict[str, Values] = {"bbox/xmin": [0.5, 0.0], "bbox/ymin": [0.25, 0.0], "bbox/xmax": [0.75, 1.0]}
    objects |= {"bbox/ymax": [0.5, 1.0], "class/text": [b"cat", b"eel"], "class/label": [1, 2]}
    return example(keys | {f"image/object/{key}": values for key, values in (objects | more).items()})


BOXES = [(100.0, 25.0, 50.0, 25.0), (0.0, 0.0, 200.0, 100.0)]

ReadTree = Callable[..., Reading]


@pytest.fixture
def read(tmp_path: Path) -> ReadTree:
    def read_files(files: Mapping[str, bytes | str], classes: tuple[str, ...] = ()) -> Reading:
        return TfRecordReader().read(write_tree(tmp_path, files), TfRecordOptions(), classes)

    return read_files


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(BoxlineError) as raised:
        act()
    return str(raised.value)


def category_names(reading: Reading) -> list[str]:
    return reading.tables.categories["name"].to_pylist()


def test_images_and_boxes_are_read_with_their_places(read: ReadTree) -> None:
    files = {"x/train.record": record(image_example("a.png")) + record(image_example("b.png", **{
        "area": [7.5, float("nan")], "is_crowd": [0, 1]}))}  # fmt: skip
    reading = read({**files, "x/map.pbtxt": LABEL_MAP, "x/notes.txt": "", "val.record": record(image_example("a.png"))})
    assert boxes_of(reading) == [
        ("a.png", "cat", BOXES[0], "val.record", 1),
        ("a.png", "eel", BOXES[1], "val.record", 1),
        ("x/a.png", "cat", BOXES[0], "x/train.record", 1),
        ("x/a.png", "eel", BOXES[1], "x/train.record", 1),
        ("x/b.png", "cat", BOXES[0], "x/train.record", 2),
        ("x/b.png", "eel", BOXES[1], "x/train.record", 2),
    ]
    assert splits_of(reading) == {"a.png": "val", "x/a.png": "train", "x/b.png": "train"}
    assert category_names(reading) == ["cat", "hot dog", "eel"]
    assert reading.tables.boxes["area"].to_pylist()[-2:] == [7.5, 20000.0]
    assert reading.tables.boxes["is_crowd"].to_pylist()[-2:] == [False, True]
    [*_, image] = reading.tables.images.to_pylist()
    assert (image["width"], image["height"], image["archive"], image["member"]) == (200, 100, "x/train.record", "b.png")
    assert reading.image_locations.to_pylist()[-1] == {"file": "x/train.record", "element": "record", "number": 2}
    assert passed_over(reading) == {"other files": (1, "'x/notes.txt'")}
    assert refused(reading) == []


def test_images_of_record_files_are_inspected_like_those_of_archives(read: ReadTree, tmp_path: Path) -> None:
    content = record(image_example("a.png")) + record(image_example("a.png"))
    reading = read({"train.record": content + record(image_example("c.png"))})
    archives = ArchiveFolder(tmp_path)
    images = with_member_names(reading.tables.images, archives)
    assert images == reading.tables.images
    with ThreadPoolExecutor(1) as executor:
        files = inspect_images(images.slice(0, 2), archives, executor)
    assert files["width"].to_pylist() == [200, 200]
    assert files["problem"].to_pylist() == [None, None]
    assert count_unused(images.slice(0, 2), archives).to_pylist() == [
        {"archive": "train.record", "files": 3, "unused": 1, "first_unused": "'c.png'"}
    ]
    assert list(splits_of(reading)) == ["a.png", "record 2/a.png", "c.png"]


def test_images_of_one_name_have_the_name_of_their_file_in_front(read: ReadTree) -> None:
    content = record(image_example("a.png"))
    reading = read({"train.record": content, "test.record": content, "b.png": IMAGE})
    assert splits_of(reading) == {"a.png": "test", "train.record/a.png": "train"}
    assert passed_over(reading) == {"other files": (1, "'b.png'")}


NUMBERS_ONLY = image_example("a.png", **{"class/text": [], "class/label": [1, 3]})


@pytest.mark.parametrize(
    ("files", "classes", "expected"),
    [
        pytest.param({"map.pbtxt": LABEL_MAP}, (), ["cat", "hot dog"], id="label map"),
        pytest.param({}, (), ["1", "3"], id="numbers"),
        pytest.param({}, ("ant", "bee", "cow"), ["ant", "cow"], id="params.yaml"),
    ],
)
def test_classes_without_text_get_their_names(
    read: ReadTree, files: dict[str, str], classes: tuple[str, ...], expected: list[str]
) -> None:
    reading = read({"a.record": record(NUMBERS_ONLY), **files}, classes)
    assert [box[1] for box in boxes_of(reading)] == expected


def test_classes_of_the_parameters_choose_among_named_ones(read: ReadTree) -> None:
    reading = read({"a.record": record(image_example("a.png"))}, ("eel",))
    assert category_names(reading) == ["eel"]
    assert passed_over(reading) == {"boxes of classes that are not listed": (1, "'cat'")}


def test_size_that_no_record_states_is_that_of_the_image(read: ReadTree) -> None:
    content = example({"image/encoded": [IMAGE], "image/filename": [b"a.png"], "image/object/bbox/xmin": []})
    [image] = read({"a.record": record(content)}).tables.images.to_pylist()
    assert (image["width"], image["height"]) == (200, 100)


FRONT = "received a record that cannot be read: "


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            image_example("b.png", **{"bbox/xmax": [0.75]}),
            f"{FRONT}it has 2, 2, 1, 2 values of xmin, ymin, xmax and ymax, 2 classes, 2 areas and 2 flags of crowds, "
            "expected as many of each",
        ),
        (
            image_example("b.png", **{"class/text": [b"cat"]}),
            f"{FRONT}it has 2, 2, 2, 2 values of xmin, ymin, xmax and ymax, 1 classes, 2 areas and 2 flags of crowds, "
            "expected as many of each",
        ),
        (
            image_example("b.png", **{"bbox/xmin": [1, 2]}),
            f"{FRONT}image/object/bbox/xmin has whole numbers, expected numbers with a fraction",
        ),
        (
            image_example("b.png", **{"class/text": [b"\xff", b"eel"]}),
            f"{FRONT}'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
        (
            example({"image/encoded": [IMAGE], "image/width": [0], "image/height": [100]}),
            f"{FRONT}it has image/width [0] and image/height [100], expected a size in pixels",
        ),
        (b"\xff", "received a record that is no tf.train.Example (the number before byte {position} does not end)"),
    ],
)
def test_wrong_record_is_refused_alone(read: ReadTree, content: bytes, reason: str) -> None:
    good = record(image_example("a.png"))
    reading = read({"train.record": good + record(content) + good})
    assert len(boxes_of(reading)) == 4
    assert refused(reading) == [("train.record", 2, reason.format(position=len(good) + 13))]
    assert reading.refused["split"].to_pylist() == ["train"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            {"bbox/xmin": [float("nan"), 0.0]},
            "received the corners nan, 0.25, 0.75, 0.5 of the class 'cat' in an image of 200 x 100 pixels, "
            "expected fractions of an image and a class",
        ),
        (
            {"class/text": [b"", b"eel"], "class/label": []},
            "received the corners 0.5, 0.25, 0.75, 0.5 of the class '' in an image of 200 x 100 pixels, "
            "expected fractions of an image and a class",
        ),
    ],
)
def test_wrong_box_is_refused_alone(read: ReadTree, more: dict[str, Values], reason: str) -> None:
    reading = read({"a.record": record(image_example("a.png", **more))})
    assert [box[1] for box in boxes_of(reading)] == ["eel"]
    assert refused(reading) == [("a.record", 1, reason)]


def test_corrupt_record_is_refused_with_its_number(read: ReadTree) -> None:
    first, second = record(image_example("a.png")), bytearray(record(image_example("b.png")))
    second[-1] ^= 1
    reading = read({"a.record": first + bytes(second) + first[:40]})
    assert refused(reading) == [
        (
            "a.record",
            3,
            f"received 24 of the {len(first) - 16} bytes of the record; the last 40 bytes of the file cannot be read",
        ),
        ("a.record", 2, f"{FRONT}record 2 is corrupt: its checksum is wrong. Download the file again"),
    ]
    assert splits_of(reading) == {"a.png": ""}


def test_record_files_in_an_archive_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    write_archive(tmp_path / "pets.zip", [("train.record", record(image_example("a.png")))])
    tree = write_tree(tmp_path, {})
    assert failure(lambda: TfRecordReader().read(tree, TfRecordOptions())) == (
        "train.record is in an archive, in which its images cannot be read in place; "
        "unpack pets.zip and name its folder as the source"
    )
    reading = TfRecordReader().read(
        write_tree(tmp_path, {"val.record": record(image_example("b.png"))}), TfRecordOptions()
    )
    assert refused(reading) == [("train.record", 0, "received a file in pets.zip, expected it beside the others")]


def test_label_maps_that_contradict_each_other_are_an_error(read: ReadTree) -> None:
    files = {
        "a.record": record(image_example("a.png")),
        "a.pbtxt": LABEL_MAP,
        "b.pbtxt": LABEL_MAP.replace("cat", "ox"),
    }
    assert failure(lambda: read(files)) == (
        "b.pbtxt: received 'ox' for class 1, expected 'cat' as in another label map (a.pbtxt, b.pbtxt); "
        "keep one of them"
    )


def test_folder_without_record_files_is_an_error(read: ReadTree) -> None:
    assert failure(lambda: read({"a.png": IMAGE})) == "there are no TFRecord files"


@given(st.text(alphabet="item{}: id1name'\"\\\n#", max_size=60))
def test_any_text_is_a_label_map(text: str) -> None:
    assert all(isinstance(number, int) and name for number, name in parse_label_map(text).items())


def test_detection_states_its_evidence(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"a.tfrecord": record(b""), "b.tfrecord-00000-of-00001": b""})
    assert TfRecordReader().detect(tree) == Detection("2 TFRecord files, the first a.tfrecord", 2)
    assert isinstance(get_format("tfrecord"), TfRecordReader)


@pytest.mark.parametrize("content", [b"", b"a text", bytes(20)])
def test_other_files_are_not_detected(tmp_path: Path, content: bytes) -> None:
    assert TfRecordReader().detect(write_tree(tmp_path, {"a.record": content})) is None


boxes = st.lists(
    st.tuples(*[st.floats(width=32)] * 4, st.sampled_from([b"cat", b"dog", b""]), st.integers(0, 3)), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=4), st.integers(0, 400), st.sampled_from([(), ("dog",)]))
def test_what_comes_in_is_a_box_or_refused_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory,
    images: list[list[tuple[float, float, float, float, bytes, int]]],
    cut: int,
    classes: tuple[str, ...],
) -> None:
    records = []
    for number, objects in enumerate(images):
        sides = [[float(box[side]) for box in objects] for side in range(4)]
        corners = dict(zip(("bbox/xmin", "bbox/ymin", "bbox/xmax", "bbox/ymax"), sides, strict=True))
        names = {"class/text": [box[4] for box in objects], "class/label": [box[5] for box in objects]}
        records.append(record(image_example(f"{number}.png", **corners, **names)))
    content = b"".join(records)
    kept = content[: len(content) - cut] if cut < len(content) else content
    tree = write_tree(tmp_path_factory.mktemp("tree"), {"a.record": kept})
    reading = TfRecordReader().read(tree, TfRecordOptions(), classes)
    num_images = len(splits_of(reading))
    num_boxes = sum(map(len, images[:num_images]))
    num_other_classes, _ = passed_over(reading).get("boxes of classes that are not listed", (0, ""))
    of_boxes = [reason for _, _, reason in refused(reading) if "the corners" in reason]
    assert num_boxes == reading.tables.boxes.num_rows + len(of_boxes) + num_other_classes
    assert len(refused(reading)) - len(of_boxes) == (len(kept) > sum(map(len, records[:num_images])))
