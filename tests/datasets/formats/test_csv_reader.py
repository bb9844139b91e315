from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.config import parse_config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.csv_columns import CsvOptions
from pipeline.datasets.formats.csv_file import read_lines
from pipeline.datasets.formats.csv_reader import CsvReader
from pipeline.datasets.formats.interfaces import Detection
from pipeline.datasets.formats.registry import get_format
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree

IMAGE = png(200, 100)
HEADER = "filename,class,xmin,ymin,xmax,ymax\n"

ReadTree = Callable[..., Reading]


@pytest.fixture
def read(tmp_path: Path) -> ReadTree:
    def read_files(contents: Mapping[str, bytes | str], classes: tuple[str, ...] = (), **options: Any) -> Reading:
        tree = write_tree(tmp_path, contents)
        return CsvReader().read(tree, parse_config(options, CsvOptions, "datasets.pets.options"), classes)

    return read_files


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(BoxlineError) as raised:
        act()
    return str(raised.value)


def short_boxes(reading: Reading) -> list[tuple[str, str, tuple[float, ...]]]:
    return [box[:3] for box in boxes_of(reading)]


CAT = ("a.png", "cat", (20.0, 10.0, 100.0, 50.0))


USUAL_FILES = {
    "corners": HEADER + "a.png,cat,20,10,120,60\n",
    "TensorFlow": "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,200.0,100,cat,20,10,120,60\n",
    "fractions": "image_id,image,xmin,ymin,xmax,ymax,label\n7,a.png,0.1,0.1,0.6,0.6,cat\n",
    "keras-retinanet": "a.png,20,10,120,60,cat\n",
    "Open Images": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\na,x,cat,1,.1,.6,.1,.6\n",
    "left, top and sides": "image_path;label;x;y;w;h\nphotos\\a.png;cat;20;10;100;50\n",
    "sizes of box and image": (
        "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
        "cat,20,10,100,50,a.png,200,100\n"
    ),
    "center": "path\tname\tx_center\ty_center\twidth\theight\n./a.png\tcat\t70\t35\t100\t50\n",
    "corners from 0": "file,class,x0,y0,x1,y1\na.png,cat,20,10,120,60\n",
    "quotes, spaces and a byte order mark": (
        '\ufeff"Filename","Class ","X Min","Y Min","X Max","Y Max"\r\n"a.png"," cat","20","10","120",6e1 \r\n'
    ),
}


@pytest.mark.parametrize("content", USUAL_FILES.values(), ids=USUAL_FILES)
def test_usual_columns_are_recognized(read: ReadTree, content: str) -> None:
    reading = read({"a.csv": content, "a.png": IMAGE})
    [box] = boxes_of(reading)
    assert box[:2] == CAT[:2]
    assert box[2] == pytest.approx(CAT[2], rel=1e-12)
    assert box[3:] == ("a.csv", content.count("\n"))
    [image] = reading.tables.images.to_pylist()
    assert (image["width"], image["height"]) == (200, 100)
    assert reading.tables.boxes["area"].to_pylist() == pytest.approx([5000])
    assert refused(reading) == []
    assert passed_over(reading) == {}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("photo,what,l,t,r,b\na.png,cat,20,10,120,60\n",
         {"columns": {"image": "photo", "label": "what", "x_min": "l", "y_min": "t", "x_max": "r", "y_max": "b"}}),
        ("photo,cat,20,10,120,60\n".replace("photo", "a.png"),
         {"columns": {"image": 1, "label": 2, "x_min": 3, "y_min": 4, "x_max": 5, "y_max": 6}}),
        ("p,q,r,s,t,u\na.png,cat,20,10,120,60\n",
         {"columns": {"image": 1, "label": 2, "x_min": 3, "y_min": 4, "x_max": 5, "y_max": 6}, "header": True}),
        ("filename,kind,class,xmin,ymin,xmax,ymax\na.png,cat,?,20,10,120,60\n", {"columns": {"label": "kind"}}),
        ("filename,class,xmin,ymin,xmax,ymax,cx,cy,bw,bh\na.png,cat,,,,,70,35,100,50\n",
         {"columns": {"x_center": "cx", "y_center": "cy", "width": "bw", "height": "bh"}}),
        ("a.png|,20,10,120,60,cat\n".replace("|", ""), {"header": False}),
    ],
)  # fmt: skip
def test_options_name_columns(read: ReadTree, content: str, options: dict[str, Any]) -> None:
    assert short_boxes(read({"a.csv": content, "a.png": IMAGE}, **options)) == [CAT]


def test_unknown_columns_are_an_error_that_tells_the_option(read: ReadTree) -> None:
    expected = (
        "expected an image, a label (none if `classes` has one name) and a box "
        "(x_min, y_min, x_max, y_max; x_center, y_center, width, height; "
        "x_min, y_min, width, height). "
        "Name them, or their numbers from 1: options: {columns: {image: ..., label: ..., x_min: ..., ...}}"
    )
    files = {"a.csv": "photo;what;l;t;r;b\na.png;cat;20;10;120;60\n", "a.png": IMAGE}
    assert failure(lambda: read(files)) == f"a.csv: received the columns photo, what, l, t, r, b, {expected}"
    misspelled = {"columns": {"split": "fold"}}
    assert failure(lambda: read({"a.csv": HEADER}, **misspelled)).startswith("a.csv: received the columns filename")
    assert failure(lambda: read({"a.csv": ""})) == f"a.csv: received the columns none, {expected}"
    assert failure(lambda: read({"a.csv": HEADER.encode("utf-16")})) == (
        "a.csv: received a text in UTF-16, expected UTF-8. Save the file as UTF-8"
    )
    assert failure(lambda: read({"a.csv": "xmax," + HEADER})) == (
        "a.csv: repeated column xmax, expected one of this name"
    )


def test_folder_without_csv_files_is_an_error(read: ReadTree) -> None:
    assert failure(lambda: read({"a.png": IMAGE})) == "there are no CSV files"
    assert failure(lambda: read({"a.png": IMAGE}, files=["a.csv"])) == (
        "options.files: a.csv not found; expected names of files in the source."
    )


def test_file_without_classes_has_the_one_of_the_parameters(read: ReadTree) -> None:
    content = "image_name,width,height,x0,y0,x1,y1\na.png,200,100,20,10,120,60\n"
    assert short_boxes(read({"a.csv": content, "a.png": IMAGE}, ("cat",))) == [CAT]
    assert failure(lambda: read({"a.csv": content}, ("cat", "dog"))).startswith(
        "a.csv: received the columns image_name, width, height, x0, y0, x1, y1, expected an image, a label"
    )


def test_row_without_box_is_a_background(read: ReadTree) -> None:
    reading = read({"a.csv": "b.png,,,,,\na.png,20,10,120,60,cat\n", "a.png": IMAGE, "b.png": IMAGE, "c.png": IMAGE})
    assert list(splits_of(reading)) == ["a.png", "b.png"]
    assert short_boxes(reading) == [CAT]
    assert passed_over(reading) == {"images without rows": (1, "'c.png'")}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.png,cat,20,10,120", "received 5 fields (a.png,cat,20,10,120), "
                                "expected 6: filename, class, xmin, ymin, xmax, ymax"),
        ("a.png,cat,20,10,120,60,7", "received 7 fields (a.png,cat,20,10,120,60,7), "
                                     "expected 6: filename, class, xmin, ymin, xmax, ymax"),
        ("a.png,cat,20,,120,60", "column ymin: received '', expected a number"),
        ("a.png,cat,20,x,120,60", "column ymin: received 'x', expected a number"),
        ("a.png,cat,20,nan,120,60", "column ymin: received 'nan', expected a number"),
        ("a.png,cat,20,1e300,120,60", "column ymin: received '1e300', expected a number"),
        ("a.png,,20,10,120,60", "column class: received '', expected the name of a class"),
        (",cat,20,10,120,60", "column filename: received '', expected the name of an image"),
        ('"a.png"x,cat,20,10,120,60', "this is not CSV (',' expected after '\"')"),
        ("a.png,cr\udceape,20,10,120,60",
         r"column class: received the bytes b'cr\xeape', which are not UTF-8. Save the file as UTF-8"),
    ],
)  # fmt: skip
def test_wrong_row_is_refused_alone(read: ReadTree, row: str, reason: str) -> None:
    good = "a.png,cat,20,10,120,60"
    content = f"{HEADER}{good}\n{row}\n{good}\n".encode(errors="surrogateescape")
    reading = read({"a.csv": content, "a.png": IMAGE})
    assert short_boxes(reading) == [CAT, CAT]
    assert refused(reading) == [("a.csv", 3, reason)]


def test_open_quote_is_refused_with_the_lines_that_it_may_take(read: ReadTree) -> None:
    good = "a.png,cat,20,10,120,60"
    reading = read({"a.csv": f'{HEADER}{good}\n"{good}\n{good}\n{good}\n', "a.png": IMAGE})
    assert short_boxes(reading) == [CAT]
    assert refused(reading) == [
        ("a.csv", 5, "this is not CSV (unexpected end of data); a quote may be open since line 3")
    ]


def test_image_of_two_sizes_is_refused(read: ReadTree) -> None:
    rows = "a.png,cat,20,10,120,60,200,100\na.png,cat,20,10,120,60,100,200\na.png,cat,20,10,120,60,,\n"
    reading = read({"a.csv": HEADER.replace("\n", ",width,height\n") + rows, "a.png": IMAGE})
    assert short_boxes(reading) == [CAT, CAT]
    assert refused(reading) == [
        ("a.csv", 3, "received an image size of 100 x 200, expected 200 x 100 as in a.csv, line 2")
    ]


def rows_of(*corners: str) -> str:
    return HEADER + "".join(f"a.png,cat,{one}\n" for one in corners)


def test_units_are_recognized_over_the_whole_file(read: ReadTree, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    fractions = [f"0.{number},0,1,0.5" for number in range(10, 19)]
    content = rows_of(*fractions, "-0.2,0,7,1")
    reading = read({"a.csv": content, "a.png": IMAGE})
    assert short_boxes(reading)[0] == ("a.png", "cat", (20.0, 0.0, 180.0, 50.0))
    assert short_boxes(reading)[-1] == ("a.png", "cat", (-40.0, 0.0, pytest.approx(1440), 100.0))
    assert caplog.messages == ["a.csv: boxes are in fractions of the image: 9 of 10 are within 1.5"]


def test_few_small_boxes_in_pixels_do_not_make_fractions(read: ReadTree) -> None:
    content = rows_of("0,0,1,1", *["20,10,120,60"] * 9)
    assert short_boxes(read({"a.csv": content, "a.png": IMAGE}))[0] == ("a.png", "cat", (0.0, 0.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (["0,0,1,1", "1,0,1,1"], "a.csv: 2 of 2 boxes are within 1.5"),
        (["0.1,0,0.9,1", "20,10,120,60"], "a.csv: 1 of 2 boxes are within 1.5"),
    ],
)
def test_units_that_may_be_both_are_an_error_that_tells_the_option(
    read: ReadTree, corners: list[str], expected: str
) -> None:
    files = {"a.csv": rows_of(*corners), "a.png": IMAGE}
    assert failure(lambda: read(files)) == (
        f"{expected}, so their units may be pixels or fractions of the image. "
        "Name them: options: {units: pixels} or {units: fractions}"
    )
    assert short_boxes(read(files, units="fractions"))[0][2][3] == 100.0
    assert short_boxes(read(files, units="pixels"))[0][2][3] == 1.0


def test_fractions_of_an_image_without_size_are_refused(read: ReadTree) -> None:
    content = rows_of("0.1,0.1,0.6,0.6", "2e6,0,3e6,1") + "b.png,cat,0,0,0.5,0.5\nc.png,,,,,\n"
    reading = read({"a.csv": content, "a.png": IMAGE, "b.png": IMAGE[:20]}, units="fractions")
    assert len(boxes_of(reading)) == 1
    assert list(splits_of(reading)) == ["a.png", "b.png", "c.png"]
    assert refused(reading) == [
        ("a.csv", 4, "received fractions of an image whose size is unknown, expected an intact image"),
        ("a.csv", 3, "received fractions far outside of the image, expected 0 to 1"),
    ]


def row_of(image: str) -> str:
    return f"{image},cat,20,10,120,60\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {"train_labels.csv": HEADER + row_of("1.png"), "annotations-test.csv": HEADER + row_of("2.png")},
            {"x/1.png": "train", "x/2.png": "test"},
            id="names of files",
        ),
        pytest.param({"train/_annotations.csv": HEADER + row_of("1.png")}, {"x/1.png": "train"}, id="folders of files"),
        pytest.param(
            {"a.csv": "split," + HEADER + "TRAIN," + row_of("1.png") + "validation," + row_of("2.png")},
            {"x/1.png": "train", "x/2.png": "val"},
            id="column",
        ),
        pytest.param(
            {"a.csv": HEADER + row_of("1.png") + row_of("val/3.png")},
            {"val/3.png": "val", "x/1.png": ""},
            id="folders of images",
        ),
    ],
)
def test_splits(read: ReadTree, files: dict[str, str], expected: dict[str, str]) -> None:
    reading = read({**files, "x/1.png": IMAGE, "x/2.png": IMAGE, "val/3.png": IMAGE})
    assert splits_of(reading) == expected
    assert refused(reading) == []


def test_unknown_split_is_refused(read: ReadTree) -> None:
    content = "split," + HEADER + "holdout," + row_of("a.png") + "," + row_of("a.png")
    reading = read({"a.csv": content, "a.png": IMAGE})
    assert refused(reading) == [("a.csv", 2, "column split: received 'holdout', expected train, val or test")]
    assert splits_of(reading) == {"a.png": ""}


def test_rows_of_an_image_in_two_splits_count_for_the_first(read: ReadTree) -> None:
    row = "a.png,cat,20,10,120,60\n"
    files = {"val.csv": HEADER + row + row, "train.csv": HEADER + row, "all.csv": HEADER + row, "a.png": IMAGE}
    reading = read(files)
    assert splits_of(reading) == {"a.png": "train"}
    assert [box[3] for box in boxes_of(reading)] == ["train.csv"]
    assert passed_over(reading) == {
        "rows of images that an earlier split has": (3, "'a.png (all.csv)', 'a.png (val.csv)'")
    }
    assert [box[3] for box in boxes_of(read(files, files=["val.csv"]))] == ["val.csv", "val.csv"]


def test_image_of_one_name_in_two_splits_is_that_of_the_row(read: ReadTree) -> None:
    row = HEADER + "1.png,cat,20,10,120,60\n"
    reading = read({"train.csv": row, "test.csv": row, "train/1.png": IMAGE, "test/1.png": IMAGE})
    assert splits_of(reading) == {"test/1.png": "test", "train/1.png": "train"}
    assert [box[3] for box in boxes_of(reading)] == ["test.csv", "train.csv"]


def test_other_files_are_passed_over(read: ReadTree) -> None:
    reading = read({"a.csv": HEADER, "classes.csv": "cat,0\n", "notes.txt": "", "a.png": IMAGE})
    assert passed_over(reading) == {
        "CSV files without columns of boxes": (1, "'classes.csv'"),
        "images without rows": (1, "'a.png'"),
        "other files": (1, "'notes.txt'"),
    }


def test_missing_image_keeps_its_stated_name_and_size(read: ReadTree) -> None:
    reading = read({"a.csv": "filename,width,height,class,xmin,ymin,xmax,ymax\nz.png,20,10,cat,1,2,3,4\n"})
    [image] = reading.tables.images.to_pylist()
    assert (image["file_name"], image["width"], image["height"]) == ("z.png", 20, 10)
    assert reading.image_locations.to_pylist() == [{"file": "a.csv", "element": "line", "number": 2}]
    assert short_boxes(reading) == [("z.png", "cat", (1.0, 2.0, 2.0, 2.0))]


def test_detection_states_its_evidence(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"a.csv": HEADER, "b.csv": HEADER, "c.csv": "id,score\n1,2\n"})
    assert CsvReader().detect(tree) == Detection("2 CSV files with filename, class, xmin, ymin, xmax, ymax", 2)
    assert isinstance(get_format("csv"), CsvReader)


@pytest.mark.parametrize("content", ["", "id,score\n1,2\n", "\x00\xff", '"', "a,b,c,d,e,f\n", "1\n2\n", "name,x,y\n"])
def test_other_csv_files_are_not_detected(tmp_path: Path, content: str) -> None:
    assert CsvReader().detect(write_tree(tmp_path, {"a.csv": content})) is None


field = st.one_of(
    st.sampled_from(["a.png", "b.png", "c.png", "cat", "dog", "", "0", "120", "-1", "nan", "1e300", "0.5"]),
    st.sampled_from(['"', '"x"', " ", ";"]),
    st.text(max_size=3),
)
good_row = st.sampled_from(["a.png,cat,20,10,120,60", "b.png,dog,0.5,0,30,40", "c.png,cat,1,2,30,4", "b.png,,,,,"])
rows = st.lists(st.one_of(good_row, st.lists(field, min_size=1, max_size=7).map(",".join)), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(rows, st.sampled_from([(), ("dog",)]), st.sampled_from(["pixels", "fractions"]), st.binary(max_size=4))
def test_what_comes_in_is_a_row_or_refused_or_passed_over(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], classes: tuple[str, ...], units: str, end: bytes
) -> None:
    content = (HEADER + "\n".join(lines)).encode(errors="surrogatepass") + end
    tree = write_tree(tmp_path_factory.mktemp("tree"), {"train.csv": content, "a.png": IMAGE, "b.png": IMAGE})
    reading = CsvReader().read(tree, parse_config({"units": units}, CsvOptions, "options"), classes)
    received = [(line, fields) for line, fields in read_lines(content)][1:]
    is_refused = {number for _, number, _ in refused(reading)}
    num_backgrounds = sum(
        line not in is_refused and isinstance(fields, list) and not any(fields[2:6]) for line, fields in received
    )
    num_other_classes, _ = passed_over(reading).get("boxes of classes that are not listed", (0, ""))
    num_boxes = reading.tables.boxes.num_rows
    assert len(received) == num_boxes + len(is_refused) + num_backgrounds + num_other_classes
