"""The checks of archives."""

from tests.support.validation_scene import checked, result_of

VAL = {"archive": "zips/val2017.zip", "files": 5_002, "unused": 2, "first_unused": "'val2017/b.jpg', 'new.jpg'"}
TRAIN = {"archive": "zips/train2017.zip", "files": 3, "unused": 0, "first_unused": ""}


def test_unused_files_are_counted_and_named() -> None:
    result = result_of(checked(archives=[TRAIN, VAL]), "archive_file_unused")
    assert (result.status, result.count) == ("warned", 2)
    assert result.measured == "3 image files in zips/train2017.zip, 5,002 image files in zips/val2017.zip"
    assert result.examples == ("zips/val2017.zip: 2 of 5,002 image files, first: 'val2017/b.jpg', 'new.jpg'",)


def test_archives_without_unused_files_pass() -> None:
    result = result_of(checked(archives=[TRAIN]), "archive_file_unused")
    assert (result.status, result.count, result.measured) == ("passed", 0, "3 image files in zips/train2017.zip")


def test_unused_files_of_severity_error_fail_the_dataset() -> None:
    validation = checked(archives=[VAL], archive_file_unused={"severity": "error"})
    assert validation.failures() == [
        "archive_file_unused found 2, first: "
        "zips/val2017.zip: 2 of 5,002 image files, first: 'val2017/b.jpg', 'new.jpg'"
    ]
    assert result_of(checked(archives=[VAL], archive_file_unused={"severity": "off"}), "archive_file_unused").count == 0
