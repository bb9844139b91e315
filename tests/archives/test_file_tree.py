"""The files of a dataset by name, in folders and archives alike."""

import logging
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.zip_archive import LOOSE_FILES_COMMENT, write_archive
from pipeline.core.errors import BoxlineError


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def contents(tree: FileTree) -> dict[str, bytes]:
    return {name: tree.read(name) for name in tree.names()}


def failure(root: Path) -> str:
    with pytest.raises(BoxlineError) as raised:
        FileTree(root)
    return str(raised.value)


def test_loose_files_and_members_are_files_of_their_folder(tmp_path: Path) -> None:
    write(tmp_path, {"labels.csv": b"labels", "day/0.jpg": b"0"})
    write_archive(tmp_path / "day" / "one.ZIP", [("1.jpg", b"1"), ("more/2.jpg", b"2")])
    tree = FileTree(tmp_path)
    assert contents(tree) == {"day/0.jpg": b"0", "day/1.jpg": b"1", "day/more/2.jpg": b"2", "labels.csv": b"labels"}
    assert tree.location("day/more/2.jpg") == ("day/one.ZIP", "more/2.jpg")
    assert tree.location("day/0.jpg") == ("", "day/0.jpg")
    assert "day/1.jpg" in tree
    assert "1.jpg" not in tree
    assert tree.find(r"C:\photos\day\more\2.JPG") == "day/more/2.jpg"
    assert tree.find("3.jpg") is None
    assert tree.read_head("labels.csv", 3) == b"lab"
    assert tree.read_head("day/1.jpg", 3) == b"1"


def test_one_archive_is_a_tree(tmp_path: Path) -> None:
    write_archive(tmp_path / "some.zip", [("b/1.jpg", b"1"), ("a.xml", b"a")])
    write(tmp_path, {"other.txt": b"not this one"})
    tree = FileTree(tmp_path / "some.zip")
    assert tree.names() == ["a.xml", "b/1.jpg"]
    assert tree.location("a.xml") == ("some.zip", "a.xml")


def test_files_of_one_name_have_their_archive_in_front(tmp_path: Path) -> None:
    """The loose file keeps its name, whether it is still loose or packed in an archive, and whatever that is called."""
    loose, packed = tmp_path / "loose", tmp_path / "packed"
    write(loose, {"1.jpg": b"loose"})
    write_archive(packed / "packed.zip", [("1.jpg", b"loose")], LOOSE_FILES_COMMENT)
    for root in (loose, packed):
        write_archive(root / "a.zip", [("1.jpg", b"of a"), ("2.jpg", b"2")])
        write_archive(root / "z.zip", [("1.jpg", b"of z")])
    expected = {"1.jpg": b"loose", "2.jpg": b"2", "a.zip/1.jpg": b"of a", "z.zip/1.jpg": b"of z"}
    assert contents(FileTree(loose)) == contents(FileTree(packed)) == expected
    assert FileTree(packed).location("a.zip/1.jpg") == ("a.zip", "1.jpg")


def test_names_that_differ_in_case_are_different_files(tmp_path: Path) -> None:
    write_archive(tmp_path / "some.zip", [("A/1.jpg", b"A"), ("a/1.jpg", b"a"), ("a/1.JPG", b"other")])
    tree = FileTree(tmp_path)
    assert contents(tree) == {"A/1.jpg": b"A", "a/1.jpg": b"a", "a/1.JPG": b"other"}
    assert tree.find("1.JPG") == "a/1.JPG"
    assert tree.find("1.jpg") is None  # two fit


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("../../etc/passwd.jpg", "etc/passwd.jpg"),
        ("/tmp/evil.jpg", "tmp/evil.jpg"),
        (r"..\evil.jpg", "evil.jpg"),
        (r"val2017\a.jpg", "val2017/a.jpg"),
        ("./a//b.jpg", "a/b.jpg"),
        ("C:/evil.jpg", "C:/evil.jpg"),
    ],
)
def test_unusual_names_of_members_become_paths_below_the_root(tmp_path: Path, member: str, name: str) -> None:
    write_archive(tmp_path / "sub" / "odd.zip", [(member, b"odd"), ("good.jpg", b"good")])
    tree = FileTree(tmp_path)
    assert contents(tree) == {f"sub/{name}": b"odd", "sub/good.jpg": b"good"}
    assert tree.location(f"sub/{name}") == ("sub/odd.zip", member)


def test_members_without_name_of_their_own_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "odd.zip"
    write_archive(path, [("a.jpg", b"a"), ("./a.jpg", b"second"), (".//a.jpg", b"third"), ("..", b"none")])
    assert contents(FileTree(tmp_path)) == {"a.jpg": b"a", "odd.zip/a.jpg": b"second"}
    assert caplog.messages == [
        f"{path}: member './/a.jpg' has the name of another file. It is left out.",
        f"{path}: member '..' has no name. It is left out.",
    ]


def test_names_without_encoding_are_found(tmp_path: Path) -> None:
    content = "画像.jpg".encode("cp932")
    write_archive(tmp_path / "sub" / "old.zip", [("x" * len(content), b"old")])
    path = tmp_path / "sub" / "old.zip"
    path.write_bytes(path.read_bytes().replace(b"x" * len(content), content))
    tree = FileTree(tmp_path)
    found = tree.find("画像.jpg")
    assert found is not None
    assert tree.read(found) == b"old"


def test_hidden_files_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hidden = [".DS_Store", ".git/1.jpg", "a/.ipynb_checkpoints/1.jpg", "__MACOSX/._1.jpg", "a/._1.jpg"]
    write(tmp_path, dict.fromkeys([*hidden, "a/1.jpg"], b""))
    write_archive(tmp_path / "some.zip", [(name, b"") for name in [*hidden, "2.jpg"]])
    assert FileTree(tmp_path).names() == ["2.jpg", "a/1.jpg"]
    assert caplog.messages == []


def test_links_out_of_the_folder_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path / "set", {"a/1.jpg": b"1"})
    write(tmp_path / "elsewhere", {"2.jpg": b"2"})
    (root / "2.jpg").symlink_to("../elsewhere/2.jpg")
    (root / "b").symlink_to("../elsewhere")
    (root / "c").symlink_to("a")
    (root / "3.jpg").symlink_to("a/1.jpg")
    (root / "4.jpg").symlink_to("4.jpg")
    assert contents(FileTree(root)) == {"3.jpg": b"1", "a/1.jpg": b"1"}
    out = f"is a link that leads out of {root}. Replace it with the file itself. It is left out."
    assert sorted(caplog.messages)[:3] == [
        f"{root}/2.jpg {out}",
        sorted(caplog.messages)[1],
        f"{root}/b {out}",
    ]
    assert sorted(caplog.messages)[1].startswith(f"{root}/4.jpg could not be read: ")
    assert sorted(caplog.messages)[3] == (
        f"{root}/c is a link to a folder, whose files are read where they are. It is left out."
    )


def test_many_files_that_are_left_out_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(25):
        (tmp_path / f"{number}.jpg").symlink_to("/etc/passwd")
    assert FileTree(tmp_path).names() == []
    assert len(caplog.messages) == 11
    assert caplog.messages[-1] == f"{tmp_path}: 15 more are left out."


def test_names_that_are_not_utf8_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "K\udcf6ln.jpg"
    try:
        path.touch()
    except OSError:
        pytest.skip("the file system accepts names in UTF-8 only")
    assert FileTree(tmp_path).names() == []
    assert caplog.messages == [f"{str(path)!r} has a name that is not UTF-8. Rename it. It is left out."]


def test_missing_path_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, {"BCCD/1.jpg": b"", "other/1.jpg": b""})
    advice = "Name a folder or an archive."
    assert failure(tmp_path / "BCDC") == f"{tmp_path}/BCDC not found; did you mean {tmp_path}/BCCD? {advice}"
    assert failure(tmp_path / "BCDC" / "a") == f"{tmp_path}/BCDC/a not found; did you mean {tmp_path}/BCCD? {advice}"
    assert failure(tmp_path / "xyz") == f"{tmp_path}/xyz not found. {advice}"


def test_file_larger_than_allowed_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": b"12345"})
    with pytest.raises(BoxlineError) as raised:
        FileTree(tmp_path).read("a.csv", 4)
    assert str(raised.value) == f"{tmp_path}/a.csv has 5 bytes, more than 4 allowed."


def test_files_are_read_in_pieces(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"loose" * 100_000})
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("b.txt", b"member" * 100_000)
    tree = FileTree(tmp_path)
    for name in tree.names():
        pieces = list(tree.read_chunks(name))
        assert len(pieces) > 3
        assert b"".join(pieces) == tree.read(name)


def test_files_are_read_in_several_threads(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"{number}.txt", f"{number} " * 5000)
    tree = FileTree(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        texts = dict(zip(tree.names(), threads.map(tree.read, tree.names()), strict=True))
    assert texts == {f"{number}.txt": f"{number} ".encode() * 5000 for number in range(300)}


def test_names_by_suffix_in_any_case() -> None:
    assert with_suffix(["a.XML", "b.xml", "c.jpg"], ".xml", ".json") == ["a.XML", "b.xml"]


@given(st.dictionaries(st.text(max_size=12).filter(lambda name: "\0" not in name), st.binary(max_size=5), max_size=8))
def test_any_archive_has_clean_names(tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("tree")
    with zipfile.ZipFile(root / "some.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content)
    logging.disable()
    tree = FileTree(root)
    logging.disable(logging.NOTSET)
    for name in tree.names():
        assert not {"", ".", ".."} & set(name.split("/"))
        archive_path, member = tree.location(name)
        assert archive_path == "some.zip"
        assert tree.read(name) in members.values()
        assert member in members
