"""Writes TFRecord files, byte by byte as TensorFlow specifies them."""

import struct
from collections.abc import Mapping, Sequence

Values = Sequence[bytes] | Sequence[float] | Sequence[int]


def crc32c(content: bytes) -> int:
    """Bit by bit, as the polynomial defines it."""
    state = 0xFFFFFFFF
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def masked(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(content: bytes) -> bytes:
    """One record of a file."""
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(features: Mapping[str, Values]) -> bytes:
    """A tf.train.Example: bytes, floats or integers by name."""
    return field(1, b"".join(_entry(name, values) for name, values in features.items()))


def _entry(name: str, values: Values) -> bytes:
    return field(1, field(1, name.encode()) + field(2, _feature(values)))


def _feature(values: Values) -> bytes:
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return field(1, b"".join(field(1, value) for value in values if isinstance(value, bytes)))
    if isinstance(values[0], float):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    return field(3, field(1, b"".join(varint(int(value)) for value in values)))
