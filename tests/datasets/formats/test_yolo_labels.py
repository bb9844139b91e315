import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.datasets.formats.yolo_labels import parse_labels

BOX = "expected a class index, center x, center y, width and height"
BOX_OR_OUTLINE = f"{BOX}, or a class index and the x and y of 3 corners or more"


def test_objects_of_several_files_keep_their_file_line_class_and_numbers() -> None:
    labels = parse_labels(
        [
            b"\xef\xbb\xbf0 0.5 0.25 0.1 0.2\r\n\r\n1.0\t-1e-1  1.5 +.5 2.\r\n",
            b"",
            b"  \n2 0 0 1 0 1 1 0.5 2\n3 0.1 0.2 0.3 0.4",
        ]
    )
    assert labels.files.tolist() == [0, 0, 2, 2]
    assert labels.lines.tolist() == [1, 3, 2, 3]
    assert labels.classes.tolist() == [0, 1, 2, 3]
    assert labels.boxes.tolist() == [
        [0.5, 0.25, 0.1, 0.2],
        [-0.1, 1.5, 0.5, 2.0],
        [0, 0, 0, 0],
        [0.1, 0.2, 0.3, 0.4],
    ]
    assert {row: corners.tolist() for row, corners in labels.outlines.items()} == {
        2: [[0, 0], [1, 0], [1, 1], [0.5, 2]]
    }
    assert labels.refused == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("0 0.5 0.5 0.1", BOX_OR_OUTLINE, id="short"),
        pytest.param("0 0 0 1 0 1 1 2", BOX_OR_OUTLINE, id="half a corner"),
        pytest.param("rbc 0 0 1 1", BOX_OR_OUTLINE, id="class name"),
        pytest.param("-1 0 0 1 1", BOX_OR_OUTLINE, id="negative class"),
        pytest.param("0.5 0 0 1 1", BOX_OR_OUTLINE, id="fraction of a class"),
        pytest.param("2147483648 0 0 1 1", BOX_OR_OUTLINE, id="huge class"),
        pytest.param("0 nan 0 1 1", BOX_OR_OUTLINE, id="NaN"),
        pytest.param("0 0 -inf 1 1", BOX_OR_OUTLINE, id="infinity"),
        pytest.param("0 1e300 0 1 1", BOX_OR_OUTLINE, id="huge number"),
        pytest.param("0 0_5 0 1 1", BOX_OR_OUTLINE, id="underscore"),
        pytest.param("0 0x5 0 1 1", BOX_OR_OUTLINE, id="hexadecimal"),
        pytest.param("0 0,5 0 1 1", BOX_OR_OUTLINE, id="comma"),
        pytest.param("0 0 0 1 0 1 nan", BOX_OR_OUTLINE, id="outline with NaN"),
        pytest.param("\x00", BOX_OR_OUTLINE, id="zero byte"),
    ],
)
def test_line_that_is_no_object_is_refused_alone(line: str, expected: str) -> None:
    labels = parse_labels([b"0 0 0 1 1", b"1 0 0 1 1\n" + line.encode() + b"\n2 0 0 1 1\n"])
    assert labels.classes.tolist() == [0, 1, 2]
    assert labels.lines.tolist() == [1, 1, 3]
    assert labels.refused == [(1, 2, f"received {line!r}, {expected}")]


def test_sixth_number_is_refused_as_a_confidence() -> None:
    [(_, _, reason)] = parse_labels([b"0 0.5 0.5 0.1 0.1 0.97"]).refused
    assert reason == (
        "received '0 0.5 0.5 0.1 0.1 0.97', which has a number after the box: the confidence of a prediction? "
        "Expected a class index, center x, center y, width and height"
    )


def test_key_points_are_no_corners_of_an_outline() -> None:
    labels = parse_labels([b"0 .5 .5 .2 .2 .1 .1 .9 .9\n0 .5 .5 .2 .2\n0 0 0 1 0 1 1\n"], keypoint_values=4)
    assert labels.boxes.tolist() == [[0.5, 0.5, 0.2, 0.2]]
    assert labels.outlines == {}
    expected = "expected a class index, 4 numbers of a box and 4 of key points"
    assert labels.refused == [
        (0, 2, f"received '0 .5 .5 .2 .2', {expected}"),
        (0, 3, f"received '0 0 0 1 0 1 1', {expected}"),
    ]


number = st.one_of(
    st.floats().map(repr),
    st.floats(0, 1).map(lambda value: f"{value:.6f}"),
    st.integers(-5, 90).map(str),
    st.sampled_from(["+1", "1.", ".5", "1E-3", "nan", "-Infinity", "1_0", "x", "0x1", "--1", "1e", "\u0663"]),
)
space = st.sampled_from([" ", "\t", "  ", " \t "])
line = st.one_of(
    st.lists(number, min_size=5, max_size=5),
    st.lists(number, max_size=11),
    st.text(max_size=5).map(lambda text: [text]),
)
content = st.one_of(
    st.binary(max_size=30),
    st.lists(st.tuples(line, space), max_size=6).map(
        lambda lines: "\n".join(between.join(texts) for texts, between in lines).encode("utf-8", "replace")
    ),
)


@given(st.lists(content, max_size=5))
@example([b"\r", b"\n\r", b"\r\n"])
@example([b"0 0 0 1 1\x1c", b"0 0 0 1 1\x0b"])
def test_every_line_is_an_object_or_refused(contents: list[bytes]) -> None:
    labels = parse_labels(contents)
    found = sorted([*zip(labels.files.tolist(), labels.lines.tolist(), strict=True), *(r[:2] for r in labels.refused)])
    unified = [one.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n") for one in contents]
    rows = [one.split(b"\n") for one in unified]
    assert found == [
        (file, number) for file, lines in enumerate(rows) for number, text in enumerate(lines, 1) if text.split()
    ]
    for row, (file, number) in enumerate(zip(labels.files, labels.lines, strict=True)):
        values = [float(text) for text in rows[file][number - 1].split()]
        assert all(map(math.isfinite, values))
        assert labels.classes[row] == values[0]
        if row in labels.outlines:
            assert labels.outlines[row].ravel().tolist() == values[1:]
        else:
            assert labels.boxes[row].tolist() == values[1:]
