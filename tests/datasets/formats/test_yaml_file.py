from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.datasets.formats.yaml_file import MAX_YAML_BYTES, read_yaml
from tests.support.dataset_folders import write_tree


def read(folder: Path, content: bytes) -> object:
    return read_yaml(write_tree(folder, {"data.yaml": content}), "data.yaml")


def test_keys_and_values_are_read(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf# classes\nnc: 2\nnames: {0: cat, 1: dog}\ndownload: |\n  rm -rf /\n"
    assert read(tmp_path, content) == {"nc": 2, "names": {0: "cat", 1: "dog"}, "download": "rm -rf /\n"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            b"a: 1\nb: &x 2\nc: *x\n",
            "data.yaml, line 2: received an anchor or alias (& or *), expected plain values.",
            id="anchor",
        ),
        pytest.param(
            b"a: !!python/object:os.system x\n",
            "data.yaml, line 1: received the tag tag:yaml.org,2002:python/object:os.system, expected plain values.",
            id="tag",
        ),
        pytest.param(
            b"a: " + b"[" * 50_000, "data.yaml, line 1: received more than 16 levels, expected fewer.", id="deep"
        ),
        pytest.param(
            b"names:\n" + b"- a\n" * 50_000,
            "data.yaml, line 49999: received more than 50,000 values, expected fewer.",
            id="many values",
        ),
        pytest.param(b"- a\n", "data.yaml: received ['a'], expected keys with values.", id="list"),
        pytest.param(b"", "data.yaml: received None, expected keys with values.", id="empty"),
        pytest.param(
            b"a: \xff\n",
            "data.yaml is not valid YAML: 'utf-8' codec can't decode byte 0xff in position 3: invalid start byte",
            id="Latin-1",
        ),
    ],
)
def test_other_content_is_an_error(tmp_path: Path, content: bytes, expected: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        read(tmp_path, content)
    assert str(raised.value) == expected


def test_large_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError, match=f"{MAX_YAML_BYTES + 1} bytes, more than {MAX_YAML_BYTES} allowed"):
        read(tmp_path, b"#" * (MAX_YAML_BYTES + 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text(alphabet="a1:-?[]{}&*!|>'\"%@#,.\n ", max_size=40).map(str.encode)))
def test_any_bytes_give_values_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    try:
        values = read(tmp_path, content)
    except BoxlineError:
        return
    assert isinstance(values, dict)
