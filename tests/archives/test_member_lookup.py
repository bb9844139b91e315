"""One look-up of names for all readers and commands."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.archives import member_lookup
from pipeline.archives.member_lookup import NameLookup, NameLookupError, nearest_name

NAMES = [
    "train2017/\u0390.jpg",
    "train2017/Köln 0.jpg",
    "train2017/a.jpg",
    "train2017/A.jpg",
    "train2017/sub/b.jpg",
    "c.jpg",
    "x/train2017/d.jpg",
]


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def failure(names: list[str], name: str, folder: str = "") -> str:
    with pytest.raises(NameLookupError) as raised:
        NameLookup(names).find(name, folder)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "train2017/a.jpg"),
        ("A.jpg", "train2017/A.jpg"),
        (nfd("Köln 0.jpg"), "train2017/Köln 0.jpg"),
        ("KÖLN 0.JPG", "train2017/Köln 0.jpg"),
        ("K%C3%B6ln%200.jpg", "train2017/Köln 0.jpg"),
        ("./a.jpg", "train2017/a.jpg"),
        (" a.jpg\t", "train2017/a.jpg"),
        ("train2017 /sub/b.jpg", "train2017/sub/b.jpg"),
        ("sub\\b.jpg", "train2017/sub/b.jpg"),
        ("SUB//B.jpg", "train2017/sub/b.jpg"),
        ("train2017/a.jpg", "train2017/a.jpg"),
        ("/home/me/data/train2017/a.jpg", "train2017/a.jpg"),
        ("C:\\data\\a.jpg", "train2017/a.jpg"),
        ("../../sub/b.jpg", "train2017/sub/b.jpg"),
        ("https://server/bucket/a.jpg", "train2017/a.jpg"),
        ("c.jpg", "c.jpg"),
        ("d.jpg", "x/train2017/d.jpg"),
        ("\u03aa\u0301.JPG", "train2017/\u0390.jpg"),  # the capital letter has no code point of its own
        ("/home/me/d.jpg", "x/train2017/d.jpg"),
    ],
)
def test_name_in_another_form_is_found(name: str, found: str) -> None:
    assert NameLookup(NAMES).find(name, "train2017/") == found


@pytest.mark.parametrize("name", ["b.jpg", "other/d.jpg", "other/sub/e.jpg", "", ".", "..", "train2017", "\0"])
def test_other_name_is_not_found(name: str) -> None:
    with pytest.raises(NameLookupError):
        NameLookup([name for name in NAMES if name != "x/train2017/d.jpg"]).find(name, "train2017/")


def test_folders_that_differ_are_not_ignored() -> None:
    """b/1.jpg is another image than a/1.jpg, and an image of val must not stand in for one of train."""
    message = "all/train/b/1.jpg not found; the nearest name is 'all/train/a/1.jpg'."
    assert failure(["all/train/a/1.jpg", "all/val/b/1.jpg"], "b/1.jpg", "all/train/") == message
    assert failure(["top/a/1.jpg"], "me/b/1.jpg") == "me/b/1.jpg not found; the nearest name is 'top/a/1.jpg'."


def test_only_folder_of_an_archive_may_have_any_name() -> None:
    names = ["My Images/a.jpg", "My Images/sub/b.jpg", "__MACOSX/My Images/._a.jpg"]
    assert NameLookup(names).find("sub/b.jpg", "train2017/") == "My Images/sub/b.jpg"
    assert "not found" in failure([*names, "Others/c.jpg"], "sub/b.jpg", "train2017/")


def test_exact_name_wins() -> None:
    names = ["Köln.jpg", nfd("Köln.jpg"), "a/b.jpg", "a\\b.jpg"]
    assert [NameLookup(names).find(name) for name in names] == names


def test_ambiguous_name_is_not_guessed() -> None:
    assert failure(["t/a.jpg", "t/A.jpg"], "a.JPG", "t/") == (
        "t/a.JPG not found by this name, and 2 fit: 't/A.jpg', 't/a.jpg'."
    )
    assert failure(["one/a.jpg", "two/a.jpg", "three/a.jpg", "four/a.jpg"], "a.jpg") == (
        "a.jpg not found by this name, and 4 fit: 'four/a.jpg', 'one/a.jpg', 'three/a.jpg' and 1 more."
    )
    many = [f"{number}/a.jpg" for number in range(1000)]
    assert failure(many, "a.jpg").startswith("a.jpg not found by this name, and many fit: '0/a.jpg', '1/a.jpg', ")
    assert failure(["Köln.jpg", nfd("Köln.jpg")], "KÖLN.jpg") == (
        r"KÖLN.jpg not found by this name, and 2 fit: 'Ko\u0308ln.jpg', 'K\xf6ln.jpg'."
    )


@pytest.mark.parametrize(
    ("names", "name", "hint"),
    [
        (["t/a_001.jpg", "t/b_001.jpg"], "t/a_01.jpg", "; the nearest name is 't/a_001.jpg'"),
        (["t/a.png", "t/b.jpg"], "t/a.jpg", "; the nearest name is 't/a.png'"),
        (["t/prefix_image7.jpg", "t/z.jpg"], "t/image7.jpg", "; the nearest name is 't/prefix_image7.jpg'"),
        (["t/zebra.jpg"], "t/1234.jpg", ""),
        ([], "a.jpg", ""),
        # A Cyrillic letter, and a space without width: names that look the same are shown with escapes.
        (["p\u0430rk.jpg"], "park.jpg", r"; the nearest name is 'p\u0430rk.jpg', which is not 'park.jpg'"),
        (["park.jpg"], "park\u200b.jpg", r"; the nearest name is 'park.jpg', which is not 'park\u200b.jpg'"),
        (["Köln 1.jpg"], "Köln 2.jpg", "; the nearest name is 'Köln 1.jpg'"),
        (["a  b.jpg"], "a b.jpg", "; the nearest name is 'a  b.jpg', which is not 'a b.jpg'"),
    ],
)
def test_missing_name_hints_at_the_nearest(names: list[str], name: str, hint: str) -> None:
    assert failure(names, name) == f"{name} not found{hint}."
    assert nearest_name(name, names) == (None if not hint else names[0])


def test_large_collections_are_searched_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only neighbors in two orders are compared, and only for so many names."""
    compared = []
    search = member_lookup.difflib.get_close_matches
    monkeypatch.setattr(
        member_lookup.difflib,
        "get_close_matches",
        lambda word, names, **options: compared.append(len(names)) or search(word, names, **options),
    )
    monkeypatch.setattr(member_lookup, "MAX_NEAREST_SEARCHES", 3)
    lookup = NameLookup([f"train2017/{number:012d}.jpg" for number in range(20_000)])
    hints = []
    for number in range(5):
        with pytest.raises(NameLookupError) as raised:
            lookup.find(f"{number}0000012345.jpg", "train2017/")
        hints.append(raised.value.hint)
    assert hints == ["; the nearest name is 'train2017/000000012345.jpg'"] * 3 + [""] * 2
    assert max(compared) <= 4 * member_lookup.NEIGHBORS


def test_hostile_names_cost_little() -> None:
    deep = "/".join("a" * 20_000)
    lookup = NameLookup([f"{deep}/x.jpg", "b" * 60_000, "y.jpg"])
    assert lookup.find(f"{deep}/y.jpg") == "y.jpg"
    assert lookup.nearest("b" * 50_000) == "b" * 60_000


letters = st.sampled_from("abAB01 ._-öÖéßçñ가が猫")
parts = st.text(letters, min_size=1, max_size=6).filter(lambda part: part.strip(".") and "%" not in part)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)


SPELLINGS: list[Callable[[str], str]] = [
    nfd,
    lambda text: unicodedata.normalize("NFC", text),
    str.upper,
    str.lower,
    lambda text: text.replace("/", "\\"),
    lambda text: text.replace("/", "//"),
    lambda text: f"./{text}",
]
spellings = st.lists(st.sampled_from(SPELLINGS), max_size=4)
fronts = st.sampled_from(["", "C:\\data\\", "/home/me/", "https://host/", "../"])


def same(one: str, other: str) -> bool:
    """Whether one name is the other in some spelling, compared independently of the look-up."""

    def folded(text: str) -> list[str]:
        parts = [part.strip() for part in text.replace("\\", "/").split("/")]
        return [nfd(nfd(part).casefold()) for part in parts if part not in ("", ".")]

    return folded(one) == folded(other)[-len(folded(one)) :]


@settings(max_examples=300)
@example(names=["0", "0 "], folder="", row=0, changes=[], front="C:\\data\\")
@given(
    names=st.lists(paths, min_size=1, max_size=8, unique=True),
    folder=st.sampled_from(["", "train2017/"]),
    row=st.integers(0, 7),
    changes=spellings,
    front=fronts,
)
def test_any_spelling_finds_its_name_or_is_ambiguous(
    names: list[str], folder: str, row: int, changes: list[Callable[[str], str]], front: str
) -> None:
    wanted = names[row % len(names)]
    lookup = NameLookup([folder + name for name in names])
    assert lookup.find(wanted, folder) == folder + wanted  # an exact name wins, whatever else fits
    asked = wanted
    for change in changes:
        asked = change(asked)
    asked = front + asked
    try:
        found = lookup.find(asked, folder).removeprefix(folder)
    except NameLookupError as error:
        is_ambiguous = " fit: " in error.hint
        assert is_ambiguous
        assert sum(same(name, asked) or same(asked, name) for name in names) > 1
    else:
        assert found == wanted or same(found, asked) or same(asked, found)
