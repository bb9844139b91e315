"""Parses `tf.train.Example` without TensorFlow: named lists of bytes, floats or integers, in protocol buffers.

The parser reads a buffer in place, so that a large image in it costs nothing until it is used.
"""

import mmap
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

Buffer = bytes | mmap.mmap

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10
MAX_FEATURES = 10_000

BYTES, FLOATS, INTEGERS = 1, 2, 3
"""The kinds of lists, by the numbers of their fields in `Feature`."""

KINDS = {BYTES: "bytes", FLOATS: "numbers with a fraction", INTEGERS: "whole numbers"}


class Span(NamedTuple):
    """Where a value begins and ends in the buffer."""

    start: int
    end: int


class Feature(NamedTuple):
    """A list of values: its kind, 0 if it is empty, and where it is in the buffer."""

    kind: int
    span: Span


class Example:
    """The features of one record.

    Every method raises ValueError if the content is no valid protocol buffer, or a feature has values of another kind.
    """

    def __init__(self, buffer: Buffer, start: int, end: int) -> None:
        self._buffer = buffer
        self._features: dict[str, Feature] = {}
        for number, span in _messages(buffer, Span(start, end)):
            if number == 1:
                self._add_features(span)

    def __contains__(self, name: str) -> bool:
        return name in self._features

    def bytes_spans(self, name: str) -> list[Span]:
        """Where the values of a list of bytes are in the buffer; none if there is no such feature."""
        return [span for number, span in _messages(self._buffer, self._list(name, BYTES)) if number == 1]

    def texts(self, name: str) -> list[str]:
        """The values of a list of bytes as UTF-8; none if there is no such feature."""
        return [self._buffer[start:end].decode() for start, end in self.bytes_spans(name)]

    def floats(self, name: str) -> list[float]:
        """The values of a list of floats, which have single precision; none if there is no such feature."""
        values: list[float] = []
        for number, wire_type, span in _fields(self._buffer, self._list(name, FLOATS)):
            if number != 1:
                continue
            if wire_type not in (LENGTH_DELIMITED, FIXED32) or (span.end - span.start) % 4:
                raise ValueError(f"{name} has broken numbers")
            values += np.frombuffer(self._buffer[span.start : span.end], "<f4").astype(np.float64).tolist()
        return values

    def integers(self, name: str) -> list[int]:
        """The values of a list of integers; none if there is no such feature."""
        values: list[int] = []
        for number, wire_type, (start, end) in _fields(self._buffer, self._list(name, INTEGERS)):
            if number != 1:
                continue
            if wire_type not in (LENGTH_DELIMITED, VARINT):
                raise ValueError(f"{name} has broken numbers")
            while start < end:
                value, start = _varint(self._buffer, start, end)
                values.append(value - (1 << 64) if value >> 63 else value)
        return values

    def _list(self, name: str, kind: int) -> Span:
        feature = self._features.get(name)
        if feature is None or not feature.kind:
            return Span(0, 0)
        if feature.kind != kind:
            raise ValueError(f"{name} has {KINDS[feature.kind]}, expected {KINDS[kind]}")
        return feature.span

    def _add_features(self, features: Span) -> None:
        for number, entry in _messages(self._buffer, features):
            if number != 1:
                continue
            name, feature = "", Feature(0, Span(0, 0))
            for part, span in _messages(self._buffer, entry):
                if part == 1:
                    name = self._buffer[span.start : span.end].decode()
                elif part == 2:
                    for kind, values in _messages(self._buffer, span):
                        feature = Feature(kind, values) if kind in KINDS else feature
            self._features[name] = feature
            if len(self._features) > MAX_FEATURES:
                raise ValueError(f"it has more than {MAX_FEATURES} features")


def _messages(buffer: Buffer, span: Span) -> Iterator[tuple[int, Span]]:
    """The numbers and spans of the fields that are texts, bytes or messages."""
    for number, wire_type, value in _fields(buffer, span):
        if wire_type == LENGTH_DELIMITED:
            yield number, value


def _fields(buffer: Buffer, span: Span) -> Iterator[tuple[int, int, Span]]:
    """Number, wire type and span of each field."""
    position, end = span
    while position < end:
        tag, start = _varint(buffer, position, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == LENGTH_DELIMITED:
            length, start = _varint(buffer, start, end)
            position = start + length
        elif wire_type == VARINT:
            _, position = _varint(buffer, start, end)
        elif wire_type in (FIXED32, FIXED64):
            position = start + (4 if wire_type == FIXED32 else 8)
        else:
            raise ValueError(f"byte {position} has the wire type {wire_type}, expected 0, 1, 2 or 5")
        if position > end or not number:
            raise ValueError(f"the field at byte {start} does not fit")
        yield number, wire_type, Span(start, position)


def _varint(buffer: Buffer, position: int, end: int) -> tuple[int, int]:
    """A number of variable length, below 2**64, and the position after it."""
    value = 0
    for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
        if position >= end:
            break
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
    raise ValueError(f"the number before byte {position} does not end")
