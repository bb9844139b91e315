from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError, truncate
from pipeline.datasets.formats.csv_file import read_rows, read_rows_with_header

COLUMNS = ["name", "left", "share"]


def test_columns_are_found_by_name_and_lines_are_counted_from_one() -> None:
    content = b'\xef\xbb\xbfshare,name,extra,left\r\n0.25,a,?,7\r\n\r\n1e-1,"b, the\nsecond",?,-3\r\n'
    first, second = read_rows_with_header("a.csv", content, COLUMNS)
    assert (first.line, first["name"], first.integer("left"), first.fraction("share")) == (2, "a", 7, 0.25)
    # The field with a line break begins on line 4 and its row ends on line 5.
    assert (second.line, second["name"], second.integer("left")) == (5, "b, the\nsecond", -3)
    assert second.fraction("share") == 0.1


def test_columns_without_header_are_found_by_position() -> None:
    [row] = read_rows("a.csv", "é,5,0.5".encode(), COLUMNS)
    assert row.fields == {"name": "é", "left": "5", "share": "0.5"}


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(BoxlineError) as raised:
        act()
    return str(raised.value)


HEADER = b"name,left,share\n"
EXPECTED = "expected a header with name, left, share."


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            b"", f"a.csv, line 1: missing column name, left, share; received no header, {EXPECTED}", id="empty"
        ),
        pytest.param(
            b"\nname,share\nx,0.5\n",
            f"a.csv, line 2: missing column left; received name, share, {EXPECTED}",
            id="missing column",
        ),
        pytest.param(
            b"name,left,share,left\nx,5,0.5,5\n",
            f"a.csv, line 1: repeated column left; received name, left, share, left, {EXPECTED}",
            id="repeated column",
        ),
        pytest.param(
            HEADER + b"x,5,0.5\ny,5\n",
            "a.csv, line 3: received 2 fields (y,5), expected 3: name, left, share.",
            id="short row",
        ),
        pytest.param(
            HEADER + b"x,5,0.5,1\n",
            "a.csv, line 2: received 4 fields (x,5,0.5,1), expected 3: name, left, share.",
            id="long row",
        ),
        pytest.param(
            HEADER + b"x,5,0.5\ncr\xeape,5,0.5\n",
            r"a.csv, line 3, column name: received the bytes b'cr\xeape', which are not UTF-8. Save the file as UTF-8.",
            id="latin-1",
        ),
        pytest.param(
            HEADER + b'x,5,0.5\n"y,5,0.5\nz,5,0.5\n',
            "a.csv, line 4: this is not CSV (unexpected end of data); a quote may be open since line 3.",
            id="unclosed quote",
        ),
    ],
)
def test_file_with_wrong_columns_is_an_error(content: bytes, expected: str) -> None:
    assert failure(lambda: read_rows_with_header("a.csv", content, COLUMNS)) == expected


@pytest.mark.parametrize("text", ["left", "", "nan", "inf", "-inf", "1e300", "1,5", "0x1", "0_1"])
def test_invalid_fraction_is_an_error(text: str) -> None:
    [row] = read_rows_with_header("a.csv", HEADER + f'x,5,"{text}"\n'.encode(), COLUMNS)
    assert failure(lambda: row.fraction("share")) == (
        f"a.csv, line 2, column share: received {text!r}, expected a fraction of the image."
    )


@pytest.mark.parametrize("text", ["left", "", "1.5", "1_0", "9" * 10, "9" * 5000, "٣", "0x5"])
def test_invalid_integer_is_an_error(text: str) -> None:
    [row] = read_rows_with_header("a.csv", HEADER + f'x,"{text}",0.5\n'.encode(), COLUMNS)
    assert failure(lambda: row.integer("left")) == (
        f"a.csv, line {row.line}, column left: received {truncate(repr(text))}, expected a whole number of pixels."
    )


VALUES = {"name": "a, b.png", "left": "7", "share": "0.25"}


@given(st.data(), st.permutations([*COLUMNS, "note", "more"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_means_nothing_changes_nothing(data: st.DataObject, order: list[str], line_end: str) -> None:
    """Byte order mark, line ends, blank lines, spaces, case, quotes, order and further columns."""

    def padded(text: str) -> str:
        return data.draw(st.sampled_from(["", " ", "\t"])) + text + data.draw(st.sampled_from(["", "  "]))

    header = [padded(data.draw(st.sampled_from([name, name.upper(), name.title()]))) for name in order]
    fields = {**VALUES, "note": "?", "more": "", "left": data.draw(st.sampled_from(["7", "7.0", "+7", "007"]))}
    row = [
        '"' + padded(fields[name]) + '"' if name == "name" or data.draw(st.booleans()) else padded(fields[name])
        for name in order
    ]
    blank = data.draw(st.lists(st.sampled_from(["", "  ", ",,,,", "\t,"]), max_size=3))
    lines = [",".join(header), *blank, ",".join(row), *blank]
    mark = data.draw(st.sampled_from(["", "\ufeff"]))
    [read] = read_rows_with_header("a.csv", (mark + line_end.join(lines)).encode(), COLUMNS)
    assert (read["name"], read.integer("left"), read.fraction("share")) == ("a, b.png", 7, 0.25)


def test_file_without_header_may_have_one_and_further_columns() -> None:
    plain = read_rows("a.csv", b"a,5,0.5,?,?\n", COLUMNS)
    named = read_rows("a.csv", b"LEFT,note,name,share\n5,?,a,0.5\n", COLUMNS)
    assert [row.fields for row in plain] == [{"name": "a", "left": "5", "share": "0.5"}]
    assert [row.fields for row in named] == [row.fields for row in plain]


def test_file_without_rows_has_none() -> None:
    assert read_rows("a.csv", b"", COLUMNS) == read_rows_with_header("a.csv", HEADER, COLUMNS) == []


def test_missing_last_field_of_another_column_is_no_error() -> None:
    [row] = read_rows_with_header("a.csv", b"name,left,share,note\nx,5,0.5\n", COLUMNS)
    assert row.fields == {"name": "x", "left": "5", "share": "0.5"}
