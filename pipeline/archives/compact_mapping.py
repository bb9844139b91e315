"""A mapping from names to numbers for millions of names."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

import numpy as np


class CompactMapping(Mapping[str, int]):
    """An immutable mapping in 12 bytes per name besides its text, where a dictionary takes ten times as much.

    Names are found by bisection, and iterated in alphabetical order.
    """

    def __init__(self, numbers: Mapping[str, int]) -> None:
        """`numbers` have absolute values below 2^31."""
        self.names = sorted(numbers)
        self._numbers = np.fromiter(map(numbers.__getitem__, self.names), np.int32, len(numbers))

    def __getitem__(self, name: str) -> int:
        position = self._position(name)
        if position is None:
            raise KeyError(name)
        return int(self._numbers[position])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._position(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _position(self, name: str) -> int | None:
        position = bisect_left(self.names, name)
        return position if position < len(self.names) and self.names[position] == name else None
