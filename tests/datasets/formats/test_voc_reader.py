"""Pascal VOC as tools write it: names, splits, corners, and what is refused or passed over."""

from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.archives.file_tree import FileTree
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats import voc_reader
from pipeline.datasets.formats.voc_parser import parse_annotation
from pipeline.datasets.formats.voc_reader import VocOptions, VocReader
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree
from tests.support.tiny_project import PROJECT

REAL = PROJECT.parent / "shared" / "data" / "real"

CAT = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></object>"
SIZE = "<size><width>30</width><height>20</height><depth>3</depth></size>"
PNG = png(30, 20)


def xml(filename: str = "1.png", objects: str = CAT, size: str = SIZE) -> str:
    return f"<annotation><folder>x</folder><filename>{filename}</filename>{size}{objects}</annotation>"


def read(tree: FileTree, classes: tuple[str, ...] = (), first_pixel: int = 0) -> Reading:
    return VocReader().read(tree, VocOptions.model_validate({"first_pixel": first_pixel}), classes)


def sizes_of(reading: Reading) -> list[tuple[int, int]]:
    images = reading.tables.images
    return list(zip(images["width"].to_pylist(), images["height"].to_pylist(), strict=True))


def test_objects_become_boxes_with_the_numbers_of_their_elements(tmp_path: Path) -> None:
    dog = (
        "<object><bndbox><ymax>9.5</ymax><xmax> 8.25 </xmax><ymin>1e0</ymin><xmin>-2</xmin></bndbox><name>\n dog\n"
        "</name><difficult>1</difficult><truncated>1</truncated></object>"
    )
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    person = (
        f"<object>{part}<name>person</name>{part}"
        "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object>"
    )
    reading = read(write_tree(tmp_path, {"1.xml": xml(objects=CAT + dog + person), "1.png": PNG}))
    assert boxes_of(reading) == [
        ("1.png", "cat", (1, 2, 3, 4), "1.xml", 1),
        ("1.png", "dog", (-2, 1, 10.25, 8.5), "1.xml", 2),
        ("1.png", "person", (0, 0, 30, 20), "1.xml", 3),
    ]
    assert reading.tables.categories["name"].to_pylist() == ["cat", "dog", "person"]
    assert reading.box_locations["element"].to_pylist() == ["object"] * 3
    assert reading.image_locations.to_pylist() == [{"file": "1.xml", "element": "file", "number": 0}]
    assert (refused(reading), passed_over(reading)) == ([], {})


def test_pixels_numbered_from_1_are_the_first_and_the_last_of_the_box(tmp_path: Path) -> None:
    whole = CAT.replace("<xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax>", "{}")
    whole = whole.format("<xmin>1</xmin><ymin>1</ymin><xmax>30</xmax><ymax>20</ymax>")
    tree = write_tree(tmp_path, {"1.xml": xml(objects=whole), "1.png": PNG})
    assert [box for _, _, box, _, _ in boxes_of(read(tree, first_pixel=1))] == [(0, 0, 30, 20)]
    assert [box for _, _, box, _, _ in boxes_of(read(tree, first_pixel=0))] == [(1, 1, 29, 19)]


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        pytest.param(
            CAT.replace("cat", " "), "received an object without <name>, expected the name of its class", id="no class"
        ),
        pytest.param(
            CAT.replace("<name>cat</name>", ""),
            "received an object without <name>, expected the name of its class",
            id="no name",
        ),
        pytest.param(
            CAT.replace("<xmax>4</xmax>", ""),
            "received xmin '1', ymin '2', ymax '6', expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="no corner",
        ),
        pytest.param(
            CAT.replace("4", "four"),
            "received xmin '1', ymin '2', xmax 'four', ymax '6', "
            "expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="word",
        ),
        pytest.param(
            CAT.replace("4", "nan"),
            "received xmin '1', ymin '2', xmax 'nan', ymax '6', "
            "expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="NaN",
        ),
        pytest.param(
            CAT.replace("4", "1e999"),
            "received xmin '1', ymin '2', xmax '1e999', ymax '6', "
            "expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="infinity",
        ),
        pytest.param(
            CAT.replace("4", "9e99"),
            "received xmin '1', ymin '2', xmax '9e99', ymax '6', "
            "expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="huge",
        ),
        pytest.param(
            CAT.replace("4", "1_0"),
            "received xmin '1', ymin '2', xmax '1_0', ymax '6', "
            "expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="underscore",
        ),
        pytest.param(
            "<object><name>cat</name><robndbox><cx>1</cx></robndbox></object>",
            "received the elements name, robndbox, expected <bndbox> with the numbers xmin, ymin, xmax, ymax",
            id="rotated box",
        ),
    ],
)
def test_object_without_class_or_box_is_refused_alone(tmp_path: Path, element: str, reason: str) -> None:
    reading = read(write_tree(tmp_path, {"a/1.xml": xml(objects=CAT + element + CAT), "a/1.png": PNG}))
    assert [number for *_, number in boxes_of(reading)] == [1, 3]
    assert reading.refused.to_pylist() == [
        {
            "file": "a/1.xml",
            "element": "object",
            "number": 2,
            "split": None,
            "file_name": "a/1.png",
            "reason": reason,
        }
    ]


@pytest.mark.parametrize(
    "size",
    [
        "",
        "<size/>",
        "<size><width>0</width><height>0</height></size>",
        "<size><width>30</width></size>",
        "<size><width>nan</width><height>20</height></size>",
        "<size><width>1e300</width><height>20</height></size>",
        "<size><width>-30</width><height>20</height></size>",
        "<size><width>thirty</width><height>20</height></size>",
    ],
)
def test_size_that_is_not_stated_is_that_of_the_file(tmp_path: Path, size: str) -> None:
    files = {"1.xml": xml(size=size), "1.png": png(7, 5), "2.xml": xml("2.png", size=size)}
    assert sizes_of(read(write_tree(tmp_path, files))) == [(7, 5), (0, 0)]


def test_stated_size_is_kept_so_that_a_check_can_compare_it(tmp_path: Path) -> None:
    size = "<size><width>640.0</width><height> 480 </height></size>"
    assert sizes_of(read(write_tree(tmp_path, {"1.xml": xml(size=size), "1.png": PNG}))) == [(640, 480)]


@pytest.mark.parametrize(
    ("filename", "files", "expected"),
    [
        pytest.param("1.png", ["1.png"], "1.png", id="as it is"),
        pytest.param("1", ["1.png"], "1.png", id="without suffix"),
        pytest.param("", ["1.png"], "1.png", id="missing"),
        pytest.param("C:\\Users\\me\\1.png", ["1.png"], "1.png", id="path of another machine"),
        pytest.param("/home/me/1.png", ["1.png"], "1.png", id="absolute path"),
        pytest.param("2.png", ["1.png", "2.png"], "1.png", id="of another file"),
        pytest.param("2.png", ["2.png"], "2.png", id="other stem"),
        pytest.param("2", ["2.png"], "2.png", id="other stem without suffix"),
        pytest.param("2.PNG", ["2.png"], "2.png", id="other case"),
        pytest.param("a b.png", ["a%20b.png", "3.png"], "a%20b.png", id="percent-encoded"),
        pytest.param("1.png", ["1.jpg", "1.png"], "1.png", id="two of the stem, one named"),
        pytest.param("1", ["1.jpg", "1.png"], "1", id="two of the stem"),
        pytest.param("2.png", [], "2.png", id="no image"),
        pytest.param("../../secret/2.png", [], "../../secret/2.png", id="outside"),
        pytest.param("", [], "1", id="no image and no name"),
        pytest.param("1.xml", [], "1.xml", id="name of itself"),
    ],
)
def test_image_is_the_one_with_the_stem_of_the_file_or_with_the_name_in_it(
    tmp_path: Path, filename: str, files: list[str], expected: str
) -> None:
    tree = write_tree(tmp_path, {"1.xml": xml(filename), **{name.replace("%20", " "): PNG for name in files}})
    expected = expected.replace("%20", " ")
    assert list(splits_of(read(tree))) == [expected]


def test_names_of_other_images_are_counted(tmp_path: Path) -> None:
    files = {"1.xml": xml("2.png"), "2.xml": xml("2.png"), "1.png": PNG, "2.png": PNG}
    reading = read(write_tree(tmp_path, files))
    assert [image for image, *_ in boxes_of(reading)] == ["1.png", "2.png"]
    assert passed_over(reading) == {"names of other images in <filename>": (1, "'1.xml: 2.png'")}


def test_file_whose_image_is_missing_does_not_take_the_image_of_another_file(tmp_path: Path) -> None:
    files = {"1.xml": xml("2.png"), "2.xml": xml("2.png"), "2.png": PNG}
    reading = read(write_tree(tmp_path, files))
    assert [(image, file) for image, _, _, file, _ in boxes_of(reading)] == [("1.png", "1.xml"), ("2.png", "2.xml")]


@pytest.mark.parametrize(
    ("file", "image"),
    [
        ("{}/1.xml", "{}/1.png"),
        ("{}/annotations/1.xml", "{}/images/1.png"),
        ("annotations/{}/1.xml", "images/{}/1.png"),
        ("{}/1.xml", "images/{}/1.png"),
        ("data/labels/{}/voc/1.xml", "data/{}/1.png"),
    ],
)
def test_images_of_equal_names_belong_to_the_nearest_file(tmp_path: Path, file: str, image: str) -> None:
    """Without a file of their own, they are never taken for the image of another split or folder."""
    folders = ["train", "valid", "test"]
    tree = write_tree(
        tmp_path,
        {
            **{file.format(folder): xml(objects=CAT.replace("cat", folder)) for folder in folders},
            **{image.format(folder): PNG for folder in folders},
        },
    )
    reading = read(tree)
    assert {image: name for image, name, *_ in boxes_of(reading)} == {
        image.format(folder): folder for folder in folders
    }
    assert splits_of(reading) == {image.format(folder): {"valid": "val"}.get(folder, folder) for folder in folders}


def test_image_of_another_split_is_not_taken(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"train/1.xml": xml(), "valid/1.png": PNG})
    reading = read(tree)
    assert splits_of(reading) == {"train/1.png": "train"}
    assert passed_over(reading) == {"images without annotations": (1, "'valid/1.png'")}


def test_image_belongs_to_the_nearest_of_several_files(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"cats/1.xml": xml(), "dogs/1.xml": xml(), "dogs/1.png": PNG})
    assert [(image, file) for image, _, _, file, _ in boxes_of(read(tree))] == [
        ("cats/1.png", "cats/1.xml"),
        ("dogs/1.png", "dogs/1.xml"),
    ]


def test_second_file_of_an_image_is_refused(tmp_path: Path) -> None:
    files = {"a/1.xml": xml(), "b/1.xml": xml(objects=CAT * 2), "1.png": PNG}
    reading = read(write_tree(tmp_path, files))
    assert [file for _, _, _, file, _ in boxes_of(reading)] == ["a/1.xml"]
    assert refused(reading) == [("b/1.xml", 0, "received annotations of 1.png, which a/1.xml has already")]


VOC = {f"VOC/Annotations/{stem}.xml": xml(f"{stem}.png") for stem in "12345"} | {
    f"VOC/JPEGImages/{stem}.png": PNG for stem in "123456"
}


def test_lists_give_the_splits(tmp_path: Path) -> None:
    lists = {
        "VOC/ImageSets/Main/train.txt": b"\xef\xbb\xbf1\r\n\r\n2.png\r\n6\r\n2\r\n",
        "VOC/ImageSets/Main/val.txt": "3  1\n",
        "VOC/ImageSets/Main/test.txt": "4 -1\n1\nx y\n",
        "VOC/ImageSets/Main/trainval.txt": "1\n2\n3\n5\n",
        "VOC/ImageSets/Main/cat_train.txt": "5  1\n",
        "VOC/ImageSets/Layout/train.txt": "5\n",
    }
    reading = read(write_tree(tmp_path, {**VOC, **lists, "readme.txt": ""}))
    assert splits_of(reading) == {
        "VOC/JPEGImages/1.png": "train",
        "VOC/JPEGImages/2.png": "train",
        "VOC/JPEGImages/3.png": "val",
        "VOC/JPEGImages/4.png": "test",
        "VOC/JPEGImages/6.png": "train",  # without a file, so without boxes
    }
    assert reading.image_locations.to_pylist()[-1] == {
        "file": "VOC/ImageSets/Main/train.txt",
        "element": "line",
        "number": 4,
    }
    assert sizes_of(reading) == [(30, 20)] * 5
    assert len(boxes_of(reading)) == 4
    assert reading.refused.to_pylist() == [
        {
            "file": "VOC/ImageSets/Main/test.txt",
            "element": "line",
            "number": 3,
            "split": "test",
            "file_name": None,
            "reason": "received the name 'x y', expected that of one image or annotation file",
        }
    ]
    assert passed_over(reading) == {
        "annotation files in no list": (1, "'VOC/Annotations/5.xml'"),
        "images without annotations": (1, "'VOC/JPEGImages/5.png'"),
        "names that a list before has already": (
            2,
            "'VOC/ImageSets/Main/test.txt, line 2: 1', 'VOC/ImageSets/Main/train.txt, line 5: 2'",
        ),
        "other files": (
            4,
            "'VOC/ImageSets/Layout/train.txt', 'VOC/ImageSets/Main/cat_train.txt', 'VOC/ImageSets/Main/trainval.txt'",
        ),
    }


def test_trainval_is_read_where_train_and_val_are_absent(tmp_path: Path) -> None:
    lists = {
        "VOC/ImageSets/Main/trainval.txt": "\n".join("1236").encode("utf-16"),
        "VOC/ImageSets/Main/test.txt": "4\n5",
    }
    reading = read(write_tree(tmp_path, {**VOC, **lists}))
    assert Counter(splits_of(reading).values()) == {"train": 4, "test": 2}


def test_lists_hold_for_the_files_of_their_folder(tmp_path: Path) -> None:
    other = {name.replace("VOC/", "other/"): content for name, content in VOC.items()}
    lists = {"VOC/ImageSets/Main/train.txt": "1\n2\n", "VOC/ImageSets/Main/val.txt": "3\n4\n5\n"}
    reading = read(write_tree(tmp_path, {**VOC, **other, **lists}))
    counts = Counter((name.partition("/")[0], split) for name, split in splits_of(reading).items())
    assert counts == {("VOC", "train"): 2, ("VOC", "val"): 3, ("other", ""): 5}


def test_name_with_a_number_at_its_end_is_no_flag(tmp_path: Path) -> None:
    files = {"Annotations/cat 1.xml": xml("cat 1.png"), "cat 1.png": PNG, "ImageSets/Main/train.txt": "cat 1"}
    assert splits_of(read(write_tree(tmp_path, files))) == {"cat 1.png": "train"}


def test_file_without_objects_is_an_image_without_boxes(tmp_path: Path) -> None:
    files = {"1.xml": xml(objects=""), "1.png": PNG, "2.xml": xml("2.png"), "2.png": PNG}
    reading = read(write_tree(tmp_path, files))
    assert list(splits_of(reading)) == ["1.png", "2.png"]
    assert [image for image, *_ in boxes_of(reading)] == ["2.png"]


def test_files_of_other_kinds_are_passed_over(tmp_path: Path) -> None:
    files = {
        "1.xml": xml(),
        "1.png": PNG,
        "2.png": PNG,
        "cvat.xml": "<annotations><version>1.1</version></annotations>",
        "a.csv": "",
        ".hidden.xml": "",
    }
    assert passed_over(read(write_tree(tmp_path, files))) == {
        "XML files without <annotation>": (1, "'cvat.xml'"),
        "images without annotations": (1, "'2.png'"),
        "other files": (1, "'a.csv'"),
    }


def test_only_the_classes_that_are_asked_for_are_read_in_their_order(tmp_path: Path) -> None:
    objects = CAT + CAT.replace("cat", "dog") + CAT.replace("cat", "eel")
    reading = read(write_tree(tmp_path, {"1.xml": xml(objects=objects), "1.png": PNG}), ("eel", "cat"))
    assert reading.tables.categories["name"].to_pylist() == ["eel", "cat"]
    assert [name for _, name, *_ in boxes_of(reading)] == ["cat", "eel"]
    assert passed_over(reading) == {"boxes of classes that are not listed": (1, "'dog'")}


DECLARED = '<?xml version="1.0" encoding="{}"?>\n'


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("utf-8", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
    ],
)
def test_encodings(declared: str, encoding: str) -> None:
    annotation = parse_annotation((DECLARED.format(declared) + xml("Käse.png")).encode(encoding))
    assert annotation is not None
    assert annotation.filename == "Käse.png"


@pytest.mark.parametrize(("declared", "encoding"), [("gb2312", "gb18030"), ("GBK", "gb18030"), ("Shift_JIS", "cp932")])
def test_encodings_of_several_bytes(declared: str, encoding: str) -> None:
    annotation = parse_annotation((DECLARED.format(declared) + xml("漢字.png")).encode(encoding))
    assert annotation is not None
    assert annotation.filename == "漢字.png"


BOMB = '<!DOCTYPE annotation [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "received a file that is not XML (no element found: line 1, column 0)", id="empty"),
        pytest.param(b"\0" * 9, "received a file that is not XML (not well-formed (invalid token): line 1, column 0)"),
        pytest.param(
            xml()[:-9].encode(), "received a file that is not XML (unclosed token: line 1, column 227)", id="truncated"
        ),
        pytest.param(
            (DECLARED.format("utf-8") + xml("Käse.png")).encode("latin-1"),
            "received a file that is not XML (not well-formed (invalid token): line 2, column 41)",
            id="not in the declared encoding",
        ),
        pytest.param(
            (DECLARED.format("utf-99") + xml()).encode(),
            "received a file that is not XML (unknown encoding: utf-99)",
            id="unknown encoding",
        ),
        *[
            pytest.param(
                (BOMB + xml("&b;")).encode(encoding),
                "received a document type (<!DOCTYPE ...>), expected XML without one",
                id=f"entities in {encoding}",
            )
            for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
        ],
        pytest.param(
            xml("&b;").encode(), "received a file that is not XML (undefined entity: line 1, column 40)", id="entity"
        ),
    ],
)
def test_file_that_is_no_xml_is_refused_alone(tmp_path: Path, content: bytes, reason: str) -> None:
    reading = read(write_tree(tmp_path, {"1.xml": xml(), "1.png": PNG, "2.xml": content}))
    assert list(splits_of(reading)) == ["1.png"]
    assert refused(reading) == [("2.xml", 0, reason)]


def test_deep_and_long_files_are_read_or_refused(tmp_path: Path) -> None:
    files = {
        "1.xml": xml(objects="<a>" * 200_000 + "</a>" * 200_000 + CAT),
        "2.xml": xml("2.png", objects=CAT.replace("cat", "c" * 1_000_000)),
        "3.xml": xml("3.png") + " " * (4 << 20),
    }
    reading = read(write_tree(tmp_path, files))
    assert [len(name) for _, name, *_ in boxes_of(reading)] == [3, 1_000_000]
    size_bytes = len(files["3.xml"])
    assert refused(reading) == [
        ("3.xml", 0, f"{tmp_path / '3.xml'} has {size_bytes} bytes, more than {4 << 20} allowed.")
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "there are no images with XML files whose root is <annotation>"),
        (
            {"1.xml": "<html/>", "1.png": PNG},
            "there are no images with XML files whose root is <annotation>",
        ),
        (
            {"1.xml": "<annotation>"},
            "there are no images with XML files whose root is <annotation>; 1.xml: received a file that is not XML "
            "(no element found: line 1, column 12)",
        ),
    ],
)
def test_nothing_that_can_be_read_is_an_error(tmp_path: Path, files: dict[str, bytes | str], message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        read(write_tree(tmp_path, files))
    assert str(raised.value) == message


def test_files_are_told_from_other_xml(tmp_path: Path) -> None:
    def detected(folder: str, files: dict[str, bytes | str]) -> str | None:
        detection = VocReader().detect(write_tree(tmp_path / folder, files))
        return detection and detection.evidence

    declared = DECLARED.format("utf-16") + "<!-- <annotations> -->\n" + xml()
    assert detected("voc", {"1.xml": xml()}) == "1 XML file, <annotation> in 1 of 1 that were looked at"
    assert detected("utf16", {"1.xml": declared.encode("utf-16")}) is not None
    others = {f"{number:02}.xml": "<html/>" for number in range(20)}
    assert detected("mixed", {**others, "06.xml": xml()}) == (
        "20 XML files, <annotation> in 1 of 7 that were looked at"
    )
    assert detected("cvat", {"1.xml": "<annotations><image/></annotations>"}) is None
    assert detected("other", {"1.xml": "<html><annotation/></html>", "2.xml": b"", "3.xml": b"\xff\xfe"}) is None
    assert detected("none", {"1.json": "{}"}) is None


def test_many_files_are_read_as_few_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several processes, and in chunks of few files or bytes."""
    broken = {3: "<annotation>", 5: xml("5.png", CAT.replace("4", "x") + CAT), 7: "<html/>", 8: xml("0.png")}
    files = {f"{number}.xml": broken.get(number, xml(f"{number}.png", CAT * (number % 4))) for number in range(10)}
    twice = {"a/x.xml": xml("x.png"), "b/x.xml": xml("x.png"), "x.png": PNG}
    tree = write_tree(tmp_path, {**files, **{f"{number}.png": PNG for number in range(8)}, **twice})
    expected = read(tree)
    assert len(refused(expected)) == 3
    for chunk_files, chunk_bytes in ((3, 1 << 20), (1024, 500)):
        monkeypatch.setattr(voc_reader, "CHUNK_FILES", chunk_files)
        monkeypatch.setattr(voc_reader, "CHUNK_BYTES", chunk_bytes)
        assert read(tree) == expected
    monkeypatch.setattr(voc_reader, "MIN_FILES_FOR_PROCESSES", 1)
    assert read(tree) == expected


TOKENS = st.sampled_from(
    [
        *("<object>", "</object>", "<bndbox>", "<name>", "</annotation>", "<size>", "<!DOCTYPE a>", "&a;", "<![CDATA["),
        *("nan", "-inf", "1e999", "9" * 400, "\0", "\ufeff", "\ud7ff", "é", "<!--", "/>"),
    ]
)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_damaged_file_is_refused_or_read_and_nothing_is_lost(tmp_path: Path, data: st.DataObject) -> None:
    """Every file is an image, refused, or passed over; every object of an image is a box or refused."""
    content = bytearray(
        xml(objects=CAT * 2 + CAT.replace("4", "x")).encode(data.draw(st.sampled_from(["utf-8", "utf-16"])))
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=3) | TOKENS.map(str.encode))
    tree = write_tree(tmp_path, {"1.xml": bytes(content), "2.xml": xml("2.png"), "1.png": PNG, "2.png": PNG})
    reading = read(tree)
    refusals = reading.refused.to_pylist()
    refused_files = [row for row in refusals if row["element"] == "file"]
    num_other = passed_over(reading).get("XML files without <annotation>", (0, ""))[0]
    assert reading.tables.images.num_rows + len(refused_files) + num_other == 2
    if not refused_files and not num_other:
        annotation = parse_annotation(bytes(content))
        assert annotation is not None
        num_objects = len(annotation.objects) + len(annotation.refused)
        assert reading.tables.boxes.num_rows + len(refusals) == num_objects + 1


real_data = pytest.mark.real_data
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="no files to read: ../shared/data/real is not there")


@real_data
@needs_real_data
@pytest.mark.parametrize(
    ("name", "splits", "boxes"),
    [
        ("bccd", {"train": 205, "val": 87, "test": 72}, {"RBC": 4155, "WBC": 372, "Platelets": 361}),
        (
            "microcontroller",
            {"train": 142, "test": 7},
            {"Arduino_Nano": 43, "ESP8266": 47, "Heltec_ESP32_Lora": 44, "Raspberry_Pi_3": 43},
        ),
    ],
)
def test_published_sets(name: str, splits: dict[str, int], boxes: dict[str, int]) -> None:
    tree = FileTree(REAL / name)
    reading = read(tree)
    assert Counter(splits_of(reading).values()) == splits
    assert Counter(class_name for _, class_name, *_ in boxes_of(reading)) == boxes
    assert refused(reading) == []
    assert set(passed_over(reading)) == {"other files"}
    assert all(image in tree for image in splits_of(reading))
    empty = [
        PurePosixPath(image).stem for image, _, (_, _, width, height), _, _ in boxes_of(reading) if not width * height
    ]
    assert empty == (["BloodImage_00338", "BloodImage_00343"] if name == "bccd" else [])  # `validate` quarantines them
    assert VocReader().detect(tree) is not None
