"""CVAT's XML for images and for video: shapes, splits, labels, frames, and what is refused or passed over."""

import math
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.cvat_reader import CvatOptions, CvatReader
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree

PNG = png(30, 20)
LABELS = """<meta><task><id>7</id><name>task</name><labels>
<label><name>dog</name><color>#fa3253</color><type>any</type><attributes>
<attribute><name>breed</name><mutable>False</mutable><values>a
b</values></attribute></attributes></label>
<label><name>cat</name><type>rectangle</type><attributes></attributes></label>
<label><name>good</name><type>tag</type></label>
</labels><original_size><width>30</width><height>20</height></original_size></task></meta>
"""
BOX = '<box label="cat" occluded="0" source="manual" xtl="1.00" ytl="2.00" xbr="4.00" ybr="6.50" z_order="0">'
BOX += '<attribute name="breed">a</attribute></box>\n'


def cvat(body: str, meta: str = LABELS) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>\n{meta}{body}</annotations>\n'


def image(name: str = "1.png", shapes: str = BOX, more: str = 'width="30" height="20"') -> str:
    return f'<image id="0" name="{name}" {more}>\n{shapes}</image>\n'


def read(root: Path, files: dict[str, bytes | str], classes: tuple[str, ...] = ()) -> Reading:
    return CvatReader().read(write_tree(root, files), CvatOptions(), classes)


def test_shapes_become_boxes_with_their_lines(tmp_path: Path) -> None:
    shapes = (
        BOX
        + '<polygon label="dog" points="0.00,0.00;4.00,0.00;0.00,3.00"></polygon>\n'
        + '<box label="cat" xtl="10" ytl="8" xbr="14" ybr="12" rotation="45"/>\n'
        + '<ellipse label="dog" cx="10" cy="20" rx="3" ry="5" rotation="90"/>\n'
        + '<mask label="cat" rle="1, 2, 3" left="5" top="6" width="2" height="3"/>\n'
    )
    reading = read(tmp_path, {"annotations.xml": cvat(image(shapes=shapes)), "images/1.png": PNG})
    names, boxes = zip(*[((name, number), box) for _, name, box, _, number in boxes_of(reading)], strict=True)
    assert names == (("cat", 11), ("dog", 12), ("cat", 13), ("dog", 14), ("cat", 15))
    half = math.sqrt(8)
    assert [list(box) for box in boxes] == [
        [1, 2, 3, 4.5],
        [0, 0, 4, 3],
        pytest.approx([12 - half, 10 - half, 2 * half, 2 * half]),
        pytest.approx([5, 17, 10, 6]),
        [5, 6, 2, 3],
    ]
    table = reading.tables.boxes
    assert table["area"].to_pylist() == [13.5, 6, pytest.approx(16), pytest.approx(15 * math.pi), 6]
    assert [outline is not None for outline in table["outline"].to_pylist()] == [False, True, True, False, False]
    assert reading.tables.categories["name"].to_pylist() == ["dog", "cat"]  # as the file lists them
    assert reading.image_locations.to_pylist() == [{"file": "annotations.xml", "element": "line", "number": 10}]
    assert splits_of(reading) == {"images/1.png": ""}
    assert (refused(reading), passed_over(reading)) == ([], {})


def test_elements_without_a_box_are_passed_over(tmp_path: Path) -> None:
    shapes = '<tag label="good"/><points label="cat" points="1,1"/><polyline label="cat" points="1,1;2,2"/><cuboid/>'
    shapes += '<skeleton label="cat"><points label="eye" points="1,1"/></skeleton>'
    reading = read(tmp_path, {"annotations.xml": cvat(image(shapes=shapes)), "1.png": PNG})
    assert splits_of(reading) == {"1.png": ""}
    assert {kind: count for kind, (count, _) in passed_over(reading).items()} == {
        f"elements <{tag}>": 1 for tag in ("tag", "points", "polyline", "cuboid", "skeleton")
    }


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        pytest.param(
            '<box label="cat" xtl="1" ytl="2" xbr="x" ybr="4"/>',
            'received <box label="cat" xtl="1" ytl="2" xbr="x" ybr="4">: xbr is not a number',
            id="word",
        ),
        pytest.param('<box label="cat"/>', 'received <box label="cat">: xtl is not a number', id="no corner"),
        pytest.param(
            '<box label="cat" xtl="1" ytl="2" xbr="nan" ybr="4"/>',
            'received <box label="cat" xtl="1" ytl="2" xbr="nan" ybr="4">: xbr is not a number',
            id="NaN",
        ),
        pytest.param(
            '<box label="cat" xtl="1" ytl="2" xbr="1e99" ybr="4"/>',
            'received <box label="cat" xtl="1" ytl="2" xbr="1e99" ybr="4">: xbr is not a number',
            id="huge",
        ),
        pytest.param(
            '<box label="" xtl="1" ytl="2" xbr="3" ybr="4"/>',
            'received <box label="" xtl="1" ytl="2" xbr="3" ybr="4">: it has no label',
            id="no class",
        ),
        pytest.param(
            '<polygon label="cat" points="1,1;2,2"/>',
            'received <polygon label="cat" points="1,1;2,2">: points has 2 corners, and 3 are needed',
            id="two corners",
        ),
        pytest.param(
            '<polygon label="cat" points="1,1;2,2;3"/>',
            'received <polygon label="cat" points="1,1;2,2;3">: points are not pairs of numbers x,y;x,y;...',
            id="half a corner",
        ),
    ],
)
def test_shape_that_cannot_be_read_is_refused_alone(tmp_path: Path, element: str, problem: str) -> None:
    reading = read(tmp_path, {"a.xml": cvat(image(shapes=BOX + element + "\n" + BOX)), "1.png": PNG})
    assert [number for *_, number in boxes_of(reading)] == [11, 13]
    [row] = reading.refused.to_pylist()
    assert (row["file"], row["element"], row["number"], row["file_name"]) == ("a.xml", "line", 12, "1.png")
    assert row["reason"] == problem


def test_subsets_and_folders_give_the_splits_and_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    body = (
        image(more='subset="Train"')
        + image(more='subset="Validation" width="30" height="20"')
        + image("test/1.png")
        + image("2.png", more='subset="default"')
    )
    images = ["images/Train/1.png", "images/Validation/1.png", "images/test/1.png", "images/default/2.png"]
    reading = read(tmp_path, {"annotations.xml": cvat(body), **dict.fromkeys(images, PNG)})
    assert splits_of(reading) == dict(zip(images, ["train", "val", "test", ""], strict=True))
    assert reading.tables.images["width"].to_pylist() == [30] * 4
    assert refused(reading) == []


def test_images_that_are_missing_or_repeated_or_have_no_name(tmp_path: Path) -> None:
    body = image() + image("2.png", more="") + image() + '<image id="3" width="1" height="1">\n' + BOX + "</image>"
    reading = read(tmp_path, {"a.xml": cvat(body), "b.xml": cvat(image()), "1.png": png(7, 5)})
    assert splits_of(reading) == {"1.png": "", "2.png": ""}
    assert reading.tables.images["width"].to_pylist() == [30, 0]
    assert [number for *_, number in boxes_of(reading)] == [11, 14]
    attributes = 'label="cat" occluded="0" source="manual" xtl="1.00" ytl="2.00" xbr="4.00" ybr="6.50" z_order="0"'
    received = f"received <box {attributes}>"
    assert refused(reading) == [
        ("a.xml", 16, "received the image 1.png, which a.xml, line 10 has already"),
        ("a.xml", 17, f"{received}: its image is refused"),
        ("a.xml", 19, "received an image without a name, expected that of its file"),
        ("a.xml", 20, f"{received}: its image is refused"),
        ("b.xml", 10, "received the image 1.png, which a.xml, line 10 has already"),
        ("b.xml", 11, f"{received}: its image is refused"),
    ]


def track(*boxes: str, label: str = "cat") -> str:
    return f'<track id="0" label="{label}" source="manual">\n' + "\n".join(boxes) + "\n</track>\n"


def box(frame: object, outside: int = 0) -> str:
    corners = 'xtl="1" ytl="2" xbr="4" ybr="6"'
    return f'<box frame="{frame}" keyframe="1" outside="{outside}" occluded="0" {corners}></box>'


def test_frames_of_a_video_are_images_with_their_number(tmp_path: Path) -> None:
    body = track(box(0), box(2), box(3, outside=1)) + track(box(2), box(9), label="dog") + track(box("x"), label="eel")
    frames = {f"train/images/frame_{number:06}.PNG": PNG for number in range(4)}
    reading = read(tmp_path, {"train/annotations.xml": cvat(body), **frames, "frame_000009.png": PNG})
    assert splits_of(reading) == dict.fromkeys(frames, "train")  # those without objects, too
    assert [(image[-10:], name, number) for image, name, _, _, number in boxes_of(reading)] == [
        ("000000.PNG", "cat", 11),
        ("000002.PNG", "cat", 12),
        ("000002.PNG", "dog", 16),
    ]
    assert reading.tables.images["width"].to_pylist() == [30] * 4
    assert refused(reading) == [
        (
            "train/annotations.xml",
            20,
            'received <box frame="x" keyframe="1" outside="0" occluded="0" xtl="1" ytl="2" xbr="4" ybr="6">: '
            "frame is not a whole number",
        ),
        (
            "train/annotations.xml",
            17,
            "received an object in frame 9 of a video, expected one image frame_000009 below the folder train, found "
            "none. Export the task with its images",
        ),
    ]
    assert passed_over(reading) == {
        "images without annotations": (1, "'frame_000009.png'"),
        "shapes outside of their frame": (1, "'train/annotations.xml, line 13'"),
    }


def test_video_without_its_images_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        read(tmp_path, {"a.xml": cvat(track(box(0))), "video.mp4": b""})
    assert str(raised.value) == (
        "there are no images in XML files with <annotations>; a.xml: received an object in frame 0 of a video, "
        "expected one image frame_000000 below the folder ., found none. Export the task with its images"
    )


def test_frame_with_several_images_is_refused(tmp_path: Path) -> None:
    frames = {"a/frame_000000.png": PNG, "b/frame_000000.png": PNG, "b/frame_000001.png": PNG}
    reading = read(tmp_path, {"a.xml": cvat(track(box(0), box(1))), **frames})
    assert list(splits_of(reading)) == ["b/frame_000001.png"]
    assert refused(reading) == [
        (
            "a.xml",
            11,
            "received an object in frame 0 of a video, expected one image frame_000000 below the folder ., found "
            "a/frame_000000.png, b/frame_000000.png. Export the task with its images",
        )
    ]


def test_what_follows_an_error_is_refused_together(tmp_path: Path) -> None:
    content = cvat(image() + image("2.png"))
    files = {"1.png": PNG, "2.png": PNG}
    reading = read(tmp_path, {"a.xml": content[: content.index("2.png") + 2], **files})
    assert list(splits_of(reading)) == ["1.png"]
    assert refused(reading) == [
        ("a.xml", 13, "received a file that cannot be read from here on (unclosed token: line 13, column 0)")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_document_types_are_refused_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "cc">]><annotations><image name="&b;"/></annotations>'
    files = {"a.xml": cvat(image()), "b.xml": bomb.encode(encoding), "1.png": PNG}
    assert refused(read(tmp_path, files)) == [
        (
            "b.xml",
            1,
            "received a file that cannot be read from here on (a document type (<!DOCTYPE ...>) is not allowed)",
        )
    ]


def test_deep_file_is_refused(tmp_path: Path) -> None:
    files = {"a.xml": cvat(image()), "b.xml": "<annotations>" + "<a>" * 500_000, "1.png": PNG}
    assert refused(read(tmp_path, files)) == [
        ("b.xml", 1, "received a file that cannot be read from here on (elements are nested more than 64 deep)")
    ]


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    files = {"a.xml": cvat(image()), "1.png": PNG, "2.png": PNG, "1.xml": "<annotation/>", "b.txt": ""}
    assert passed_over(read(tmp_path, files)) == {
        "XML files without <annotations>": (1, "'1.xml'"),
        "images without annotations": (1, "'2.png'"),
        "other files": (1, "'b.txt'"),
    }


def test_only_the_classes_that_are_asked_for_are_read(tmp_path: Path) -> None:
    shapes = BOX + BOX.replace("cat", "dog") + BOX.replace("cat", "eel")
    reading = read(tmp_path, {"a.xml": cvat(image(shapes=shapes)), "1.png": PNG}, ("eel", "cat"))
    assert reading.tables.categories["name"].to_pylist() == ["eel", "cat"]
    assert [name for _, name, *_ in boxes_of(reading)] == ["cat", "eel"]


@pytest.mark.parametrize(
    ("content", "is_cvat"),
    [
        (cvat(image()), True),
        (cvat(image()).replace("utf-8", "utf-16").encode("utf-16"), True),
        ("<annotation><object/></annotation>", False),
        ("<html><annotations/></html>", False),
        ("", False),
    ],
)
def test_files_are_told_from_other_xml(tmp_path: Path, content: str | bytes, is_cvat: bool) -> None:
    detection = CvatReader().detect(write_tree(tmp_path, {"1.xml": content}))
    assert (detection.evidence if detection else None) == ("XML with <annotations> in 1.xml" if is_cvat else None)


TOKENS = st.sampled_from(
    [
        *(
            "<image>",
            "</image>",
            "<box>",
            "</box>",
            "<track label='a'>",
            "</track>",
            "<label>",
            "<name>",
            "</annotations>",
        ),
        *("<!DOCTYPE a>", "&a;", "nan", "-inf", "1e999", "9" * 400, "\0", "é", "<!--", "/>", '"', "]]>"),
    ]
)
CONTENT = cvat(image(shapes=BOX + '<tag label="good"/>' + BOX) + track(box(0), box(1, outside=1)))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_file_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    """What the other file states is read, whatever is wrong with this one, and an error in it is named."""
    content = bytearray(CONTENT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=3) | TOKENS.map(str.encode))
    files = {
        "b.xml": bytes(content),
        "a.xml": cvat(image("2.png")),
        "1.png": PNG,
        "2.png": PNG,
        "frame_000000.png": PNG,
    }
    reading = read(tmp_path, files)
    assert "2.png" in splits_of(reading)
    counts = {kind: count for kind, (count, _) in passed_over(reading).items() if "other" not in kind}
    refusals = refused(reading)
    if not refusals and "XML files without <annotations>" not in counts:
        text = bytes(content)
        num_shapes = sum(text.count(f"<{tag} ".encode()) for tag in ("box", "tag"))
        num_rows = reading.tables.boxes.num_rows - 1 + counts.get("elements <tag>", 0)
        assert num_rows + counts.get("shapes outside of their frame", 0) <= num_shapes
    else:
        assert refusals or counts["XML files without <annotations>"] == 1


def test_image_that_is_repeated_in_one_line_is_refused(tmp_path: Path) -> None:
    element = '<image id="0" name="1.png" width="7" height="5"/>'
    reading = read(tmp_path, {"a.xml": f"<annotations>{element}{element}</annotations>", "1.png": png(7, 5)})
    assert splits_of(reading) == {"1.png": ""}
    assert refused(reading) == [("a.xml", 1, "received the image 1.png, which a.xml, line 1 has already")]


def test_each_of_several_archives_has_its_own_images(tmp_path: Path) -> None:
    for number in (1, 2):
        body = f'<image id="0" name="a.png" width="{number}" height="9"/>'
        with zipfile.ZipFile(tmp_path / f"task{number}.zip", "w") as archive:
            archive.writestr("annotations.xml", f"<annotations>{body}</annotations>")
            archive.writestr("images/a.png", png(number, 9))
    images = read(tmp_path, {}).tables.images
    assert [(row["archive"], row["member"], row["width"]) for row in images.to_pylist()] == [
        ("task1.zip", "images/a.png", 1),
        ("task2.zip", "images/a.png", 2),
    ]
