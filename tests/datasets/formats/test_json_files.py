import pytest
from msgspec import Raw

from pipeline.core.errors import BoxlineError
from pipeline.datasets.formats.json_files import AnyJson, decode_json


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    assert decode_json('{"ä": "NaN, \\"Infinity\\""}'.encode(encoding), dict[str, str]) == {"ä": 'NaN, "Infinity"'}


def test_numbers_that_json_does_not_have_are_null() -> None:
    content = b'{"a": NaN, "b": [-Infinity, 1], "NaN": "NaN"}'
    assert decode_json(content, dict[str, float | str | list[float | None] | None]) == {
        "a": None,
        "b": [None, 1],
        "NaN": "NaN",
    }


def test_only_the_outermost_level_is_decoded() -> None:
    content = decode_json(b'{"a": [1e999]}', AnyJson)
    assert isinstance(content["a"], Raw)
    with pytest.raises(BoxlineError) as raised:
        decode_json(content["a"], list[float])
    assert str(raised.value) == "Number out of range - at `$[0]`"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Input data was truncated"),
        (b'{"a": "b', "Input data was truncated"),
        (b"<a/>", "JSON is malformed: invalid character (byte 0), received '<a/>'"),
        (b'{"a":' * 100_000, "Expected `str`, got `object` - at `$[...]`"),
        (b'{"a": "\\ud800"}', "Input data was truncated"),
        (b'{"a": "\xff"}', "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[1]", "Expected `object`, got `array`"),
    ],
)
def test_content_of_another_kind_is_an_error(content: bytes, message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        decode_json(content, dict[str, str])
    assert str(raised.value) == message
