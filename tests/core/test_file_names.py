"""Names of files that come from outside."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.atomic_files import atomic_directory, atomic_write, replace_directory
from pipeline.core.file_names import UniqueStems, cut_to_bytes, max_name_bytes

texts = st.text(st.characters(codec="utf-8") | st.sampled_from("aA\u0301\u732b\U0001d5d4"), max_size=60)


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


@given(texts, st.integers(4, 80))
def test_cut_text_is_the_longest_start_of_whole_characters(text: str, max_bytes: int) -> None:
    cut = cut_to_bytes(text, max_bytes)
    assert text.startswith(cut)
    assert len(cut.encode()) <= max_bytes
    kept_apart = cut and len(cut) < len(text) and unicodedata.combining(text[len(cut)])
    assert not kept_apart or all(map(unicodedata.combining, text[1 : len(cut)]))  # more accents than fit
    if cut != text:
        longer = text[: len(cut) + 1]
        while len(longer) < len(text) and unicodedata.combining(text[len(longer)]):
            longer = text[: len(longer) + 1]
        assert len(longer.encode()) > max_bytes


@given(st.lists(texts, max_size=30), st.integers(12, 60))
def test_stems_are_unique_and_short(texts: list[str], max_bytes: int) -> None:
    stems = UniqueStems(max_bytes)
    given_out = [stems.add(text) for text in texts]
    assert all(len(stem.encode()) <= max_bytes for stem in given_out)
    assert len(set(map(folded, given_out))) == len(texts)


def test_many_equal_stems_are_numbered_on() -> None:
    """In a time that does not grow with their number, as with photos that each lie in a folder of their own."""
    stems = UniqueStems(20)
    assert [stems.add("image") for _ in range(20_000)][-1] == "image-20000"


def test_stems_that_differ_in_case_or_form_get_numbers() -> None:
    stems = UniqueStems(20)
    assert [stems.add(stem) for stem in ("K\xf6ln", "Ko\u0308ln", "K\xd6LN", "K\xf6ln-2", "b")] == [
        "K\xf6ln",
        "Ko\u0308ln-2",
        "K\xd6LN-3",
        "K\xf6ln-2-2",
        "b",
    ]


def test_limit_is_that_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = os.pathconf(tmp_path, "PC_NAME_MAX")
    assert max_name_bytes(tmp_path) == limit
    assert max_name_bytes(tmp_path / "not" / "there" / "yet") == limit

    def unknown(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "pathconf", unknown)
    assert max_name_bytes(tmp_path) == 255


@pytest.mark.parametrize("name", ["n" * 255, "\u732b" * 85, f"{'n' * 251}.jpg", f"a.{'b' * 253}", "short.jpg"])
def test_files_and_folders_with_the_longest_names_are_written(tmp_path: Path, name: str) -> None:
    for content in ("first", "second"):
        with atomic_write(tmp_path / name) as partial:
            assert len(os.fsencode(partial.name)) <= 255
            assert name != "short.jpg" or partial.name == ".short.partial.jpg"
            assert not name.endswith(".jpg") or partial.suffix == ".jpg"  # some writers take the format from it
            partial.write_text(content)
        assert (tmp_path / name).read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).unlink()
    for content in ("first", "second"):
        with atomic_directory(tmp_path / name) as folder:
            (folder / content).touch()
    (tmp_path / "new").mkdir()
    replace_directory(tmp_path / name, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == [name]
