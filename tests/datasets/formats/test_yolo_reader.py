import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import NO_SPLIT, Reading
from pipeline.datasets.formats.interfaces import Detection
from pipeline.datasets.formats.registry import get_format
from pipeline.datasets.formats.yolo_reader import YoloOptions, YoloReader, num_lines
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree

IMAGE = png(200, 100)
ROW = "0 0.5 0.5 0.1 0.2"
"""Left 0.45, top 0.4, width 0.1 and height 0.2 of the image."""
BOX = (90.0, 40.0, 20.0, 20.0)

ReadTree = Callable[..., Reading]


@pytest.fixture
def read(tmp_path: Path) -> ReadTree:
    def read_files(
        files: Mapping[str, bytes | str], classes: tuple[str, ...] = (), options: YoloOptions | None = None
    ) -> Reading:
        return YoloReader().read(write_tree(tmp_path, files), options or YoloOptions(), classes)

    return read_files


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(BoxlineError) as raised:
        act()
    return str(raised.value)


def category_names(reading: Reading) -> list[str]:
    return reading.tables.categories["name"].to_pylist()


def pairs(*stems: str, row: str = ROW) -> dict[str, bytes | str]:
    """Images, and labels with one row, of `train/images/1`, ..."""
    images = {f"{stem}.png": IMAGE for stem in stems}
    labels = {f"{stem.replace('images/', 'labels/')}.txt": f"{row}\n" for stem in stems}
    return images | labels


def test_registry_has_the_reader() -> None:
    assert isinstance(get_format("yolo"), YoloReader)


def test_boxes_and_outlines_become_pixels_of_their_image(read: ReadTree) -> None:
    reading = read(
        {
            "data.yaml": "names: [cat, dog]\ntrain: images",
            "images/a.png": IMAGE,
            "labels/a.txt": "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.5 0.1 0.5 0.3\n1 1.25 0.5 0.5 0.5\n0 0 0 0 0\n0 0 0 0 0\n",
        }
    )
    assert boxes_of(reading) == [
        ("images/a.png", "dog", (75.0, 25.0, 50.0, 50.0), "labels/a.txt", 1),
        ("images/a.png", "cat", (20.0, 10.0, 80.0, 20.0), "labels/a.txt", 2),
        ("images/a.png", "dog", (200.0, 25.0, 100.0, 50.0), "labels/a.txt", 3),
        ("images/a.png", "cat", (0.0, 0.0, 0.0, 0.0), "labels/a.txt", 4),
        ("images/a.png", "cat", (0.0, 0.0, 0.0, 0.0), "labels/a.txt", 5),
    ]
    # The outline is a right triangle, half of its box.
    assert reading.tables.boxes["area"].to_pylist() == [2500.0, 800.0, 5000.0, 0.0, 0.0]
    assert [text and json.loads(text) for text in reading.tables.boxes["outline"].to_pylist()] == [
        None,
        [[20.0, 10.0, 100.0, 10.0, 100.0, 30.0]],
        None,
        None,
        None,
    ]
    [image] = reading.tables.images.to_pylist()
    assert (image["file_name"], image["split"], image["width"], image["height"]) == ("images/a.png", "train", 200, 100)
    assert refused(reading) == []


@pytest.mark.parametrize(
    ("data", "files", "expected"),
    [
        pytest.param(
            "train: ../train/images\nval: ../valid/images",
            pairs("train/images/1", "valid/images/2"),
            {"train/images/1.png": "train", "valid/images/2.png": "val"},
            id="Roboflow: the folder is beside data.yaml",
        ),
        pytest.param(
            "train: ../train/images\nval: ../valid/images",
            pairs("train/images/1", "valid/images/2", "test/images/3"),
            {"train/images/1.png": "train", "valid/images/2.png": "val", "test/images/3.png": "test"},
            id="Roboflow: the folder of a split that is not named",
        ),
        pytest.param(
            "path: ../datasets/coco8\ntrain: images/train\nval: images/val\ntest:",
            pairs("images/train/1", "images/val/2"),
            {"images/train/1.png": "train", "images/val/2.png": "val"},
            id="Ultralytics: path is relative to the working folder",
        ),
        pytest.param(
            "path: pets\ntrain: images/train",
            pairs("pets/images/train/1"),
            {"pets/images/train/1.png": "train"},
            id="path is relative to the file",
        ),
        pytest.param(
            r"path: C:\Users\me\pets" + "\ntrain: images\\train",
            pairs("images/train/1"),
            {"images/train/1.png": "train"},
            id="folders of Windows",
        ),
        pytest.param(
            "path: /home/me/pets\ntrain: Images/Train",
            pairs("pets/images/train/1"),
            {"pets/images/train/1.png": "train"},
            id="absolute folders in another case",
        ),
        pytest.param(
            "train: [a/images, b/images]\nvalidation: c/images",
            pairs("a/images/1", "b/images/2", "c/images/3"),
            {"a/images/1.png": "train", "b/images/2.png": "train", "c/images/3.png": "val"},
            id="list of folders",
        ),
        pytest.param(
            "train: lists/train.txt\nval: [lists/val.txt]",
            pairs("images/1", "images/2", "images/3")
            | {"lists/train.txt": "../images/2.png\n\nimages/3.png\n", "lists/val.txt": "/home/me/images/1.png"},
            {"images/1.png": "val", "images/2.png": "train", "images/3.png": "train"},
            id="lists of images",
        ),
        pytest.param("path: .\ntrain: .", pairs("1", "x/2"), {"1.png": "train", "x/2.png": "train"}, id="everything"),
        pytest.param(
            "nc: 1",
            pairs("train/images/1", "dev/images/2"),
            {"train/images/1.png": "train", "dev/images/2.png": "val"},
            id="no splits, but folders of that name",
        ),
        pytest.param("nc: 1", pairs("images/1"), {"images/1.png": ""}, id="no splits"),
    ],
)
def test_data_file_names_splits_in_any_form(
    read: ReadTree, data: str, files: dict[str, bytes | str], expected: dict[str, str]
) -> None:
    reading = read({**files, "data.yaml": f"{data}\nnames: [cat]\n"})
    assert splits_of(reading) == expected
    assert reading.tables.boxes.num_rows == len(expected)
    assert passed_over(reading) == {}
    assert refused(reading) == []


def test_data_file_in_a_folder_is_relative_to_it(read: ReadTree) -> None:
    files = {f"pets/{name}": content for name, content in pairs("train/images/1").items()}
    reading = read({**files, "pets/data.yaml": "names: [cat]\ntrain: ../train/images\nval: ../valid/images\n"})
    assert splits_of(reading) == {"pets/train/images/1.png": "train"}
    assert passed_over(reading) == {"splits without a folder or list": (1, "'val: ../valid/images'")}


def test_missing_folder_of_a_split_is_not_another_folder(read: ReadTree) -> None:
    reading = read({**pairs("images/1"), "data.yaml": "names: [cat]\ntrain: ../train/images\nval: images\n"})
    assert splits_of(reading) == {"images/1.png": "val"}
    assert passed_over(reading) == {"splits without a folder or list": (1, "'train: ../train/images'")}


def test_image_of_two_splits_belongs_to_the_first(read: ReadTree) -> None:
    reading = read({**pairs("images/1"), "data.yaml": "names: [cat]\nval: images\ntrain: images\ntest: images\n"})
    assert splits_of(reading) == {"images/1.png": "train"}
    assert reading.tables.boxes.num_rows == 1
    assert passed_over(reading) == {
        "images that a split or list names again": (2, "'test: images/1.png', 'val: images/1.png'")
    }


def test_images_outside_of_the_splits_are_passed_over_with_their_labels(read: ReadTree) -> None:
    reading = read({**pairs("a/images/1", "b/images/2"), "data.yaml": "names: [cat]\ntrain: a/images\n"})
    assert splits_of(reading) == {"a/images/1.png": "train"}
    assert passed_over(reading) == {
        "images outside of the splits": (1, "'b/images/2.png'"),
        "label files of images outside of the splits": (1, "'b/labels/2.txt'"),
    }


def test_images_without_rows_are_backgrounds(read: ReadTree) -> None:
    files = {"data.yaml": "names: [cat]", "images/1.png": IMAGE, "images/2.png": IMAGE, "labels/2.txt": ""}
    reading = read(files)
    assert list(splits_of(reading)) == ["images/1.png", "images/2.png"]
    assert reading.tables.boxes.num_rows == 0
    assert refused(reading) == []


def test_label_file_without_image_is_refused_with_its_number_of_rows(read: ReadTree) -> None:
    files = {**pairs("images/1", "x/2"), "labels/3.txt": f"{ROW}\n\n{ROW}", "x/4.txt": ROW, "x/notes.txt": "see 1"}
    reading = read({**files, "data.yaml": "names: [cat]"})
    assert refused(reading) == [
        ("labels/3.txt", 0, "received a label file with 2 rows, expected an image of this name"),
        ("x/4.txt", 0, "received a label file with 1 row, expected an image of this name"),
    ]
    assert passed_over(reading) == {"other files": (1, "'x/notes.txt'")}


def test_labels_of_an_image_of_unknown_size_are_refused(read: ReadTree) -> None:
    listed = {"train.txt": "images/1.png\nimages/2.png\nimages/3.png\n", "labels/3.txt": f"{ROW}\n{ROW}\n"}
    files = {**pairs("images/1", "images/2"), **listed, "data.yaml": "names: [cat]\ntrain: train.txt"}
    reading = read({**files, "images/2.png": IMAGE[:20]})
    assert [row["width"] for row in reading.tables.images.to_pylist()] == [200, 0, 0]
    assert [row["number"] for row in reading.image_locations.to_pylist()] == [1, 2, 3]
    assert [box[0] for box in boxes_of(reading)] == ["images/1.png"]
    expected = "of an image whose size cannot be read, expected an intact image:"
    assert refused(reading) == [
        ("labels/2.txt", 0, f"received 1 row {expected} images/2.png"),
        ("labels/3.txt", 0, f"received 2 rows {expected} images/3.png"),
    ]


def test_rows_of_classes_without_a_name_are_refused(read: ReadTree) -> None:
    files = {
        "data.yaml": "names: {0: cat, 2: dog, 3: eel}\n",
        "a.png": IMAGE,
        "a.txt": "1 0 0 1 1\n3 0 0 1 1\n4 0 0 1 1",
    }
    reading = read(files)
    assert category_names(reading) == ["cat", "dog", "eel"]
    assert [box[1] for box in boxes_of(reading)] == ["eel"]
    assert refused(reading) == [
        ("a.txt", 1, "received class 1, expected one that data.yaml names: 0, 2 to 3"),
        ("a.txt", 3, "received class 4, expected one that data.yaml names: 0, 2 to 3"),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("[cat, dog]", ["cat", "dog"]),
        ("{1: dog, 0: cat}", ["cat", "dog"]),
        ("{'1': dog, '0': cat}", ["cat", "dog"]),
        ("[1, true]", ["1", "True"]),
        ("\n- cat\n- \n- 'hot dog '", ["cat", "hot dog"]),
    ],
)
def test_names_are_a_list_or_a_dictionary_in_the_order_of_its_keys(
    read: ReadTree, names: str, expected: list[str]
) -> None:
    assert category_names(read({"data.yaml": f"names: {names}", **pairs("a")})) == expected


def test_number_of_classes_that_differs_from_the_names_is_refused(read: ReadTree) -> None:
    reading = read({"data.yaml": "nc: 3\nnames: [cat, dog]\n", **pairs("a")})
    assert refused(reading) == [("data.yaml", 0, "received nc: 3 and 2 names, expected as many; the names count")]
    assert category_names(reading) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("names: cat", "data.yaml, names: received 'cat', expected a list of class names."),
        ("names: []", "data.yaml, names: received {}, expected a list of class names."),
        ("names: {x: cat}", "data.yaml, names: received the key 'x', expected a class index."),
        ("names: [[cat]]", "data.yaml, names.0: received ['cat'], expected a class name."),
        ("names: [a]\ntrain: 3", "data.yaml, train: received 3, expected the path of a folder or file."),
        ("names: [a]\nkpt_shape: 17", "data.yaml, kpt_shape: received 17, expected two numbers, such as [17, 3]."),
        ("names: &a [a]", "data.yaml, line 1: received an anchor or alias (& or *), expected plain values."),
    ],
)
def test_data_file_that_cannot_be_used_is_an_error(read: ReadTree, data: str, expected: str) -> None:
    assert failure(lambda: read({"data.yaml": data, **pairs("a")})) == expected


def test_one_of_several_data_files_is_chosen_by_an_option(read: ReadTree) -> None:
    files = {**pairs("a/images/1", "b/images/2"), "a/data.yaml": "names: [cat]", "b/data.yaml": "names: [dog]"}
    assert failure(lambda: read(files)) == (
        "there are several files that describe a dataset: a/data.yaml, b/data.yaml. "
        "Name one of them: options: {data: a/data.yaml}."
    )
    assert category_names(read(files, options=YoloOptions(data="b/data.yaml"))) == ["dog"]
    assert failure(lambda: read(files, options=YoloOptions(data="data.yaml"))) == (
        "options.data: data.yaml not found; expected the name of a YAML file in the source."
    )


def test_data_file_of_another_name_is_known_by_its_keys(read: ReadTree) -> None:
    files = {"coco8.yaml": "train: images\nnames: [cat]", "hyp.yaml": "lr0: 0.1", "bad.yml": "[", **pairs("images/1")}
    reading = read(files)
    assert category_names(reading) == ["cat"]
    assert passed_over(reading) == {"other files": (2, "'bad.yml', 'hyp.yaml'")}


@pytest.mark.parametrize("file", ["classes.txt", "labels/classes.txt", "obj.names", "train/_darknet.labels"])
def test_without_data_file_a_list_has_the_names(read: ReadTree, file: str) -> None:
    reading = read({file: "dog\r\ncat\n\n", **pairs("images/1", row="1 0.5 0.5 0.1 0.2")})
    assert category_names(reading) == ["dog", "cat"]
    assert [box[1] for box in boxes_of(reading)] == ["cat"]
    assert passed_over(reading) == {}


def test_lists_of_other_names_are_an_error(read: ReadTree) -> None:
    files = {"a/classes.txt": "cat", "b/classes.txt": "dog", **pairs("images/1")}
    assert failure(lambda: read(files)) == (
        "a/classes.txt and b/classes.txt list other class names, expected the same; "
        "correct one of them, or write the names into a data.yaml."
    )


def test_without_names_the_parameters_name_the_classes(read: ReadTree) -> None:
    files = pairs("a") | {"b.png": IMAGE, "b.txt": "1 0.5 0.5 0.1 0.2\n2 0.5 0.5 0.1 0.2"}
    reading = read(files, ("cat", "dog"))
    assert [box[1] for box in boxes_of(reading)] == ["cat", "dog"]
    assert refused(reading) == [("b.txt", 2, "received class 2, expected one that the list of classes names: 0 to 1")]


def test_without_any_names_classes_are_numbers(read: ReadTree) -> None:
    reading = read({"a.png": IMAGE, "a.txt": f"10 0 0 1 1\n9 0 0 1 1\n{ROW}"})
    assert category_names(reading) == ["0", "9", "10"]
    assert [box[1] for box in boxes_of(reading)] == ["10", "9", "0"]


def test_classes_of_the_parameters_choose_among_named_ones(read: ReadTree) -> None:
    files = {
        "data.yaml": "names: [cat, dog, eel]",
        "a.png": IMAGE,
        "a.txt": "0 0 0 1 1\n1 0 0 1 1\n2 0 0 1 1\n0 0 0 1 1",
    }
    reading = read(files, ("eel", "dog"))
    assert category_names(reading) == ["eel", "dog"]
    assert [(box[1], box[4]) for box in boxes_of(reading)] == [("dog", 2), ("eel", 3)]
    assert passed_over(reading) == {"boxes of classes that are not listed": (2, "'cat'")}


def test_darknet_lists_the_images_of_each_split(read: ReadTree) -> None:
    files = {
        "obj.names": "cat\n",
        "obj.data": "classes = 1\nnames = data/obj.names\n",
        "train.txt": "data/obj_train_data/1.png\n",
        "valid.txt": "data/obj_train_data/2.png\n",
        **pairs("obj_train_data/1", "obj_train_data/2"),
    }
    reading = read(files)
    assert splits_of(reading) == {"obj_train_data/1.png": "train", "obj_train_data/2.png": "val"}
    assert reading.image_locations.to_pylist()[0] == {"file": "train.txt", "element": "line", "number": 1}
    assert passed_over(reading) == {"other files": (1, "'obj.data'")}


def test_labels_of_an_unusual_folder_are_found_by_their_unique_name(read: ReadTree) -> None:
    files = {"pictures/train/1.png": IMAGE, "pictures/test/2.png": IMAGE, "rows/1.txt": ROW, "rows/2.txt": ROW}
    assert [box[:2] for box in boxes_of(read(files))] == [("pictures/test/2.png", "0"), ("pictures/train/1.png", "0")]


def test_label_file_of_a_name_that_occurs_twice_is_not_guessed(read: ReadTree) -> None:
    files = {"a/1.png": IMAGE, "b/1.png": IMAGE, "rows/1.txt": ROW}
    assert failure(lambda: read(files)) == (
        "no image has a label file, expected a text file of its name beside it or in labels/"
    )


def test_second_image_with_the_same_label_file_is_passed_over(read: ReadTree) -> None:
    image = io.BytesIO()
    Image.new("L", (20, 10)).save(image, "JPEG")
    reading = read({**pairs("images/1"), "images/1.jpg": image.getvalue()})
    assert splits_of(reading) == {"images/1.jpg": ""}
    assert passed_over(reading) == {"images with the label file of another image": (1, "'images/1.png'")}


def test_wrong_rows_are_refused_with_file_line_image_and_split(read: ReadTree) -> None:
    rows = {"train/labels/1.txt": f"{ROW} 0.9\n{ROW}\nnan 0 0 1 1\n"}
    reading = read({"data.yaml": "names: [cat]", "train/images/1.png": IMAGE, **rows})
    assert boxes_of(reading) == [("train/images/1.png", "cat", BOX, "train/labels/1.txt", 2)]
    assert reading.refused.drop_columns("reason").to_pylist() == [
        {
            "file": "train/labels/1.txt",
            "element": "line",
            "number": number,
            "split": "train",
            "file_name": "train/images/1.png",
        }
        for number in (1, 3)
    ]


def test_archives_give_what_folders_give(tmp_path: Path) -> None:
    files = pairs("images/train/1", "images/val/2") | {
        "data.yaml": "names: [cat]\ntrain: images/train\nval: images/val"
    }
    loose = YoloReader().read(write_tree(tmp_path / "loose", files), YoloOptions())
    contents = {name: one.encode() if isinstance(one, str) else one for name, one in sorted(files.items())}
    write_archive(tmp_path / "zip" / "images.zip", [(n, c) for n, c in contents.items() if n.endswith(".png")])
    write_archive(tmp_path / "zip" / "annotations.zip", [(n, c) for n, c in contents.items() if not n.endswith(".png")])
    archived = YoloReader().read(write_tree(tmp_path / "zip", {}), YoloOptions())
    assert archived.tables.boxes == loose.tables.boxes
    assert archived.box_locations == loose.box_locations
    assert archived.tables.images["archive"].to_pylist() == ["images.zip"] * 2
    assert archived.tables.images.drop_columns(["archive"]) == loose.tables.images.drop_columns(["archive"])


def detect(folder: Path, files: Mapping[str, bytes | str]) -> Detection | None:
    return YoloReader().detect(write_tree(folder, files))


def test_detection_states_its_evidence(tmp_path: Path) -> None:
    assert detect(tmp_path / "a", pairs("images/1", "images/2")) == Detection(
        "2 text files with a class and a box per line", 2
    )
    assert detect(tmp_path / "b", {**pairs("images/1"), "data.yaml": "names: [cat]"}) == Detection(
        "data.yaml and 1 label file", 1
    )


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {"images/1.png": IMAGE, "labels/1.txt": "rbc 0.00 0 0 0.0 0.0 25.1 40.8 0 0 0 0 0 0 0"}, id="KITTI"
        ),
        pytest.param({"1.png": IMAGE, "1.txt": "a text about the image\n"}, id="prose"),
        pytest.param({"1.png": IMAGE, "1.xml": "<annotation/>", "train.txt": "1\n"}, id="VOC"),
        pytest.param({"params.yaml": "train: {epochs: 3}\nnames: [a]", "1.png": IMAGE}, id="other YAML"),
        pytest.param({"images/1.png": IMAGE, "rows/1.txt": ROW}, id="rows at an unusual place"),
        pytest.param({}, id="nothing"),
    ],
)
def test_other_files_are_not_detected(tmp_path: Path, files: dict[str, bytes | str]) -> None:
    assert detect(tmp_path, files) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["labels/a.txt", "labels/b.txt", "labels/c.txt", "labels/nothing.txt"]),
        st.one_of(
            st.binary(max_size=20),
            st.lists(
                st.sampled_from([ROW, f"{ROW} 1", "1 0 0 1 0 1 1", "7 0 0 1 1", "", "x", "0 nan 0 1 1", "2 1e9 0 1 1"])
            ).map("\n".join),
        ),
    ),
    st.sampled_from([(), ("dog",)]),
)
def test_what_comes_in_is_a_box_or_refused_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, labels: dict[str, bytes | str], classes: tuple[str, ...]
) -> None:
    images = {"images/a.png": IMAGE, "images/b.png": IMAGE, "images/c.png": IMAGE[:9], "images/d.png": IMAGE}
    files = {**images, **labels, "labels/d.txt": ROW, "data.yaml": "names: [cat, dog, eel]"}
    tree = write_tree(tmp_path_factory.mktemp("tree"), files)
    reading = YoloReader().read(tree, YoloOptions(), classes)
    whole_files = {file for file, number, _ in refused(reading) if number == 0}
    rows = {name: num_lines(tree.read(name)) for name in tree.names() if name.startswith("labels/")}
    num_refused = sum(rows[file] if number == 0 else 1 for file, number, _ in refused(reading))
    num_passed_over, _ = passed_over(reading).get("boxes of classes that are not listed", (0, ""))
    assert sum(rows.values()) == reading.tables.boxes.num_rows + num_refused + num_passed_over
    assert whole_files == {"labels/c.txt", "labels/nothing.txt"} & rows.keys()
    assert list(splits_of(reading)) == sorted(images)
    assert np.isfinite(reading.tables.boxes["area"].to_numpy()).all()


def test_images_of_another_dataset_in_the_source_are_not_read(read: ReadTree) -> None:
    files = {"a/data.yaml": "names: [cat]", "b/data.yaml": "names: [dog]", **pairs("a/images/1", "b/images/2")}
    reading = read(files, options=YoloOptions(data="b/data.yaml"))
    assert splits_of(reading) == {"b/images/2.png": NO_SPLIT}
    assert passed_over(reading)["images outside of the splits"] == (1, "'a/images/1.png'")


def test_file_beside_the_folder_of_images_describes_them(read: ReadTree) -> None:
    assert splits_of(read({"config/data.yaml": "names: [cat]", **pairs("images/1")})) == {"images/1.png": NO_SPLIT}


@pytest.mark.parametrize(("content", "expected"), [(b"\xef\xbb\xbf", 0), (b"\xef\xbb\xbf0\r\n \r\n1", 2)])
def test_byte_order_mark_is_no_line(content: bytes, expected: int) -> None:
    assert num_lines(content) == expected


def test_test_folders_of_other_datasets_in_the_source_are_no_split(read: ReadTree) -> None:
    ours = pairs("ours/valid/images/1", "ours/test/images/2")
    reading = read({"ours/data.yaml": "names: [cat]\nval: ../valid/images", **ours, **pairs("other/test/images/3")})
    assert splits_of(reading) == {"ours/valid/images/1.png": "val", "ours/test/images/2.png": "test"}
    assert passed_over(reading) == {
        "images outside of the splits": (1, "'other/test/images/3.png'"),
        "label files of images outside of the splits": (1, "'other/test/labels/3.txt'"),
    }


def test_label_file_that_two_images_share_counts_once(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"a.png": IMAGE, "a.jpg": IMAGE, "a.txt": ROW})
    assert YoloReader().detect(tree) == Detection("1 text file with a class and a box per line", 1)


def test_jfif_is_an_image(read: ReadTree) -> None:
    assert splits_of(read({"a.jfif": IMAGE, "a.txt": ROW})) == {"a.jfif": NO_SPLIT}
