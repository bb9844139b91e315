import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.tf_example import Example
from pipeline.archives.tfrecord_archive import RecordProblem, TfRecordArchive
from pipeline.core.errors import BoxlineError
from tests.support.tfrecord_files import Values, example, field, record

IMAGE = b"an image"


def image_record(name: str, image: bytes = IMAGE, **more: Values) -> bytes:
    return record(example({"image/filename": [name.encode()], "image/encoded": [image], **more}))


@pytest.fixture
def archive_of(tmp_path: Path) -> Callable[[bytes], TfRecordArchive]:
    def write(content: bytes) -> TfRecordArchive:
        path = tmp_path / "train.record"
        path.write_bytes(content)
        return TfRecordArchive(path)

    return write


ArchiveOf = Callable[[bytes], TfRecordArchive]


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(BoxlineError) as raised:
        act()
    return str(raised.value)


def test_images_are_read_in_place(archive_of: ArchiveOf) -> None:
    archive = archive_of(image_record("a.jpg", b"first") + image_record(r"C:\data\..\b.png", b"second"))
    assert archive.names() == ["a.jpg", "C:/data/b.png"]
    assert archive["a.jpg"].read() == b"first"
    assert archive["b.png"].read(6) == b"second"
    assert archive["b.png"].read_head(3) == b"sec"
    assert list(archive["b.png"].read_chunks()) == [b"second"]
    assert archive.get("c.png") is None
    assert (archive.num_records, archive.problems) == (2, [])
    assert failure(lambda: archive["b.jpg"]) == (
        f"{archive.path}: image b.jpg not found; the nearest name is 'C:/data/b.png'."
    )
    assert failure(lambda: archive["b.png"].read(5)) == (
        f"{archive.path}: member C:/data/b.png has 6 bytes, more than 5 allowed."
    )


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"image/source_id": [b"7"], "image/format": [b"PNG"]}, "7.png"),
        ({"image/filename": [b""]}, "1.jpg"),
        ({"image/filename": [b"a"], "image/format": [b"exe"]}, "a.jpg"),
        ({}, "1.jpg"),
    ],
)
def test_image_without_usual_name_gets_one(archive_of: ArchiveOf, features: dict[str, Values], expected: str) -> None:
    assert archive_of(record(example({"image/encoded": [IMAGE], **features}))).names() == [expected]


def test_repeated_name_has_the_number_of_its_record_in_front(archive_of: ArchiveOf) -> None:
    archive = archive_of(image_record("a.jpg", b"first") + image_record("a.jpg", b"second"))
    assert archive.names() == ["a.jpg", "record 2/a.jpg"]
    assert archive["a.jpg"].read() == b"first"
    assert archive["record 2/a.jpg"].read() == b"second"


def test_corrupt_record_concerns_itself_alone(archive_of: ArchiveOf) -> None:
    content = bytearray(image_record("a.jpg") + image_record("b.jpg") + image_record("c.jpg"))
    content[content.index(b"an image", len(content) // 3)] ^= 1
    archive = archive_of(bytes(content))
    assert archive.names() == ["a.jpg", "b.jpg", "c.jpg"]
    assert failure(lambda: archive["b.jpg"].read()) == (
        f"{archive.path}: member b.jpg is corrupt: its checksum is wrong. Download the file again."
    )
    assert archive["c.jpg"].read() == IMAGE
    broken = [(number, name, one) for number, name, one in archive.examples() if not isinstance(one, Example)]
    assert broken == [(2, "b.jpg", "record 2 is corrupt: its checksum is wrong. Download the file again.")]


def test_corrupt_length_loses_the_rest_of_the_file(archive_of: ArchiveOf) -> None:
    first, second = image_record("a.jpg"), image_record("b.jpg")
    archive = archive_of(first + b"\x01" + second[1:] + first)
    assert archive.names() == ["a.jpg"]
    rest = len(second) + len(first)
    reason = f"received a length whose checksum is wrong, expected a record; the last {rest} bytes of the file"
    assert archive.problems == [RecordProblem(2, f"{reason} cannot be read")]


def test_truncated_record_is_a_problem(archive_of: ArchiveOf) -> None:
    first, second = image_record("a.jpg"), image_record("b.jpg")
    archive = archive_of(first + second[:-10])
    length = len(second) - 16
    assert archive.names() == ["a.jpg"]
    assert archive.problems == [
        RecordProblem(
            2,
            f"received {length - 10} of the {length} bytes of the record; "
            f"the last {len(second) - 10} bytes of the file cannot be read",
        )
    ]


NO_EXAMPLE = "received a record that is no tf.train.Example"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"\x1f\x8b" + bytes(30),
            "received a file that is compressed with gzip, expected TFRecord without compression; "
            "the last 32 bytes of the file cannot be read",
        ),
        (record(b"\xff"), f"{NO_EXAMPLE} (the number before byte 13 does not end)"),
        (
            record(field(1, field(1, field(1, b"\xff")))),
            f"{NO_EXAMPLE} ('utf-8' codec can't decode byte 0xff in position 0: invalid start byte)",
        ),
        (
            record(example({"image/encoded": [1]})),
            f"{NO_EXAMPLE} (image/encoded has whole numbers, expected bytes)",
        ),
        (record(example({"image/filename": [b"a.jpg"]})), "received 0 values of image/encoded, expected one"),
        (record(b""), "received 0 values of image/encoded, expected one"),
        (record(example({"image/encoded": [b"1", b"2"]})), "received 2 values of image/encoded, expected one"),
        (
            record(example({str(number): [] for number in range(10_001)})),
            f"{NO_EXAMPLE} (it has more than 10000 features)",
        ),
    ],
)
def test_record_without_image_is_a_problem(archive_of: ArchiveOf, content: bytes, reason: str) -> None:
    archive = archive_of(content)
    assert archive.names() == []
    assert archive.problems == [RecordProblem(1, reason)]


def test_empty_or_missing_file(archive_of: ArchiveOf, tmp_path: Path) -> None:
    archive = archive_of(b"")
    assert (archive.names(), archive.num_records, archive.problems) == ([], 0, [])
    assert failure(lambda: TfRecordArchive(tmp_path / "no.record")) == (
        f"{tmp_path / 'no.record'} not found. `dvc repro` downloads it."
    )


def test_values_of_each_kind_are_read_packed_or_not() -> None:
    features = {"text": [b"a", "ö".encode()], "share": [0.5, -1.0], "number": [-1, 0, 1 << 40], "empty": []}
    content = example(features)
    unpacked = field(2, field(2, b"\x0d" + struct.pack("<f", 0.25))) + field(1, b"one")
    content += field(1, field(1, unpacked)) + field(1, field(1, field(1, b"two") + field(2, field(3, b"\x08\x07"))))
    parsed = Example(content, 0, len(content))
    assert parsed.texts("text") == ["a", "ö"]
    assert parsed.floats("share") == [0.5, -1.0]
    assert parsed.integers("number") == [-1, 0, 1 << 40]
    assert parsed.floats("one") == [0.25]
    assert parsed.integers("two") == [7]
    assert parsed.texts("empty") == parsed.floats("none") == []
    assert "text" in parsed
    assert "none" not in parsed


def test_value_that_leaves_its_message_is_an_error() -> None:
    content = field(1, b"\x0a\x7f") + field(9, bytes(200))
    with pytest.raises(ValueError, match="the field at byte 4 does not fit"):
        Example(content, 0, len(content))


@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_a_value_error(content: bytes) -> None:
    try:
        parsed = Example(content, 0, len(content))
        parsed.texts("")
        parsed.floats("")
        parsed.integers("")
    except ValueError:
        pass


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_keep_every_record_or_state_its_problem(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    records = [image_record(f"{number}.jpg", bytes([number]) * 9) for number in range(4)]
    content = bytearray(b"".join(records))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("records") / "a.record"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    archive = TfRecordArchive(path)
    examples = list(archive.examples())
    assert [name for _, name, _ in examples] == archive.names()
    numbers = sorted([number for number, _, _ in examples] + [problem.number for problem in archive.problems])
    assert numbers == list(range(1, len(numbers) + 1))
    for number, name, parsed in examples:
        if isinstance(parsed, Example):
            assert archive[name].read() == bytes([number - 1]) * 9


def test_folder_of_archives_has_record_files_too(tmp_path: Path) -> None:
    for name in ("a.record", "x/b.tfrecord-00000-of-00002"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(image_record("1.jpg"))
    (tmp_path / "records.txt").write_text("")
    archives = ArchiveFolder(tmp_path)
    assert archives.paths() == ["a.record", "x/b.tfrecord-00000-of-00002"]
    assert archives["x/b.tfrecord-00000-of-00002"]["1.jpg"].read() == IMAGE
