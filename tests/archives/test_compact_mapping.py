"""The compact mapping is equal to the dictionary that it is made of."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.compact_mapping import CompactMapping

NAMES = st.text(max_size=3)


@given(st.dictionaries(NAMES, st.integers(-(2**31) + 1, 2**31 - 1)), NAMES)
def test_it_equals_the_dictionary(numbers: dict[str, int], other: str) -> None:
    mapping = CompactMapping(numbers)
    assert dict(mapping) == numbers
    assert list(mapping) == sorted(numbers)
    assert (other in mapping, mapping.get(other)) == (other in numbers, numbers.get(other))
    assert (1 in mapping, len(mapping)) == (False, len(numbers))


def test_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="c"):
        CompactMapping({"a": 1, "b": 2})["c"]
