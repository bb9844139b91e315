"""boxline add: a dataset in a usual file format, and a system for it, as entries of params.yaml."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.tar_archive import TAR_SUFFIXES
from pipeline.archives.zip_archive import is_archive_name
from pipeline.core import schema
from pipeline.core.config import NAME_PATTERN, DatasetConfig, Params, load_params, parse_config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import IMAGE_SUFFIXES, is_record_name
from pipeline.core.formatting import escape_control, pluralize
from pipeline.core.params_file import add_entries, format_entry
from pipeline.datasets.annotations import NO_SPLIT, Reading
from pipeline.datasets.dataset_files import own_files
from pipeline.datasets.formats.detection import detect_formats
from pipeline.datasets.formats.registry import FORMATS, get_format
from pipeline.datasets.read_dataset import read_files
from pipeline.datasets.splits import SplitKey, assign_splits, is_grouped_by_similarity, parse_split
from pipeline.download.sources.resolve import local_path, parse_scheme
from pipeline.download.sync import exclusive_lock, install, sync_files
from pipeline.systems.anchor_free_detector.suggestion import suggest_section
from pipeline.validation.config import parse_checks
from pipeline.validation.run_checks import ValidationResult, run_checks
from pipeline.validation.text_report import text_report

DATA, REPORTS = Path("data"), Path("reports")
MAX_NAMES = 5


def add(
    name: str,
    source: str,
    /,
    *,
    format: str | None = None,  # noqa: A002  # the name of the option
    options: list[str] | None = None,
    classes: list[str] | None = None,
    split: list[str] | None = None,
    dry_run: bool = False,
) -> int:
    """Add a dataset to params.yaml, with a detector for it.

    Recognizes the format of the annotations, prints what it finds (images, boxes, classes, splits, sizes and rows that
    the checks will refuse), and writes the entries `datasets.NAME` and `systems.NAME_detector`. Comments and everything
    else in params.yaml stay as they are.

    Args:
        name: name of the dataset: a lower-case letter, then lower-case letters, digits and underscores.
        source: folder or archive with images and annotations, or its http(s) or s3 address.
        format: format of the annotations, if another one than the recognized one: yolo, coco, voc, ...
        options: options of the format, as key=value: `units=pixels columns.image=photo columns.label=species`.
        classes: the only classes to read, in their order; all if omitted.
        split: how images are assigned to splits, as key=value: `val=0.2 test=0.1 group_by=similar`, `folds=5 fold=0`,
            or `train=val` for files without a training split.
        dry_run: print everything, and write nothing.

    """
    params = load_params()
    system = f"{name}_detector"
    _require_new_names(params, name, system)
    if format is not None:
        get_format(format, "--format")
    chosen_split = _parse_split(split) if split else None
    tree = _open_source(name, source)
    entry: dict[str, Any] = {"format": format or _detect(source, tree), "source": source}
    if options:
        entry["options"] = _parse_words("--options", options, "units=pixels")
        parse_config(entry["options"], get_format(entry["format"]).options_class, "options", "the new entry")
    if classes:
        entry["classes"] = classes
    config = parse_config(entry, DatasetConfig, f"datasets.{name}", "the new entry")
    files = read_files(name, config, tree)
    _require_two_images(source, files)
    if not split:
        chosen_split = _choose_split(files.tables.images)
    if chosen_split is not None:
        entry["split"] = chosen_split
    reading = _with_splits(name, chosen_split, files)
    validation = _validate(params, name, config, reading, tree)
    sys.stdout.write("\n".join(["", *text_report(reading.tables, validation), ""]) + "\n")
    _require_boxes(source, validation)
    section = _suggest_system(name, validation)
    sys.stdout.write(f"datasets:\n{format_entry(name, entry)}\n\n")
    if dry_run:
        sys.stdout.write(f"systems:\n{format_entry(system, section)}\n\nNothing was written, because of --dry-run.\n")
        return 0
    add_entries({"datasets": {name: entry}, "systems": {system: section}})
    sys.stdout.write(_next_steps(name, system, section))
    for failure in validation.failures():
        sys.stdout.write(f"\nThe stage validate will fail: {failure}.\n")
    return 0


def _open_source(name: str, source: str) -> FileTree:
    """The files of a folder or a zip archive in their place, others after the download that the stage then reuses."""
    if not source.strip():
        raise BoxlineError(f"SOURCE: received {source!r}, expected a folder, an archive or an address.")
    path = None if parse_scheme(source) else local_path(source)
    if path is not None and Path.cwd().is_relative_to(path.resolve()):
        raise BoxlineError(f"{source} is a folder that this project is in. Name the folder of the images alone.")
    if path is not None and (path.is_dir() or not path.exists() or is_archive_name(path.name)):
        tree = FileTree(path)
        if not with_suffix(tree.names(), *TAR_SUFFIXES):
            return tree
    folder = DATA / name
    with exclusive_lock(folder / "partial", f"download of {name}"):
        downloaded = sync_files(
            own_files(name, source), folder / "partial", folder / "download", REPORTS / name / "download.json"
        )
        install(downloaded, folder / "partial", folder / "download", REPORTS / name / "download.json")
    return FileTree(folder / "download")


def _detect(source: str, tree: FileTree) -> str:
    """The most specific format that the files fit; prints what speaks for it, and the others."""
    detections = detect_formats(tree)
    if not detections:
        raise BoxlineError(f"{source}: {_no_annotations(tree)}")
    (name, detection), *others = detections.items()
    sys.stdout.write(f"{source} is read as {name}: {detection.evidence}.\n")
    if others:
        listed = join_items(f"{other} ({found.evidence})" for other, found in others)
        sys.stdout.write(f"It also fits {listed}; --format chooses.\n")
    return name


def _no_annotations(tree: FileTree) -> str:
    names = tree.names()
    others = [escape_control(name) for name in names if not name.lower().endswith(IMAGE_SUFFIXES)]
    num_images = len(names) - len(others)
    listed = f" ({join_items(others, MAX_NAMES)})" if others else ""
    return (
        f"found no annotations in a known format among {pluralize(len(names), 'file', 'files')}: "
        f"{pluralize(num_images, 'image', 'images')}, {pluralize(len(others), 'other', 'others')}{listed}. "
        f"If they have one, name it with --format: {join_items(FORMATS, len(FORMATS))}."
    )


def _next_steps(name: str, system: str, section: dict[str, Any]) -> str:
    epochs = section["train"]["phases"]["all"]["epochs"]
    return (
        f"This entry is now in params.yaml, and systems.{system}: an anchor-free detector at "
        f"{section['pack']['image_size']} pixels, {epochs} epochs.\n\n"
        f"Next:\n"
        f"  .venv/bin/dvc repro validate@{name}\n"
        f"      checks every image and box: reports/{name}/validate.html\n"
        f"  .venv/bin/boxline show {name} --out image.png\n"
        f"      draws an image with its boxes\n"
        f"  .venv/bin/dvc repro evaluate@{system}\n"
        f"      trains the detector and scores it: reports/{system}/\n"
    )


def _require_new_names(params: Params, name: str, system: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name, re.ASCII):
        raise BoxlineError(
            f"NAME: received {name!r}, expected a lower-case letter, then lower-case letters, digits and underscores."
        )
    for section, known, new in (("datasets", params.datasets, name), ("systems", params.systems, system)):
        if new in known:
            raise BoxlineError(
                f"params.yaml: {section}.{new} exists already. Choose another name, or delete this entry first."
            )


def _parse_split(words: list[str]) -> dict[str, Any]:
    """The section `split` from key=value words; its kind follows from the keys."""
    section = _parse_words("--split", words, "val=0.2")
    kind = "folds" if "folds" in section else "published" if "train" in section else "random"
    section = {"kind": kind, **section}
    parse_config({"split": section}, SplitKey, "", "the new entry")
    return section


def _parse_words(option: str, words: list[str], example: str) -> dict[str, Any]:
    """A section from key=value words: dots in a key lead to sections in it, and values are JSON or else text."""
    section: dict[str, Any] = {}
    for word in words:
        keys, equals, text = word.partition("=")
        *parents, key = keys.split(".")
        inner = section
        for parent in parents:
            inner = inner.setdefault(parent, {}) if isinstance(inner, dict) else {}
        if not equals or not all([*parents, key]) or not isinstance(inner, dict) or key in inner:
            raise BoxlineError(f"{option}: received {word!r}, expected key=value, such as {example}, each key once.")
        try:
            inner[key] = json.loads(text)
        except (ValueError, RecursionError):
            inner[key] = text
    return section


def _require_two_images(source: str, reading: Reading) -> None:
    num_images = reading.tables.images.num_rows
    if num_images < 2:
        first = reading.refused.slice(0, 1).to_pylist()
        refused = "".join(f" {row['file']}, {row['element']} {row['number']}: {row['reason']}." for row in first)
        raise BoxlineError(
            f"{source}: found {pluralize(num_images, 'image', 'images')}, expected at least 2: "
            f"one to train with and one to score.{refused}"
        )


def _require_boxes(source: str, validation: ValidationResult) -> None:
    if not validation.accepted.boxes.num_rows:
        raise BoxlineError(f"{source}: found no boxes that pass the checks, expected some. Nothing was written.")


def _choose_split(images: pa.Table) -> dict[str, Any] | None:
    """The section `split` for images to train with and others to score, None if the files have both; prints why."""
    found = set(images["split"].unique().to_pylist())
    if "train" in found and found & {"val", "test"}:
        return None
    if {"val", "test"} <= found:
        sys.stdout.write("The files have no training split: val trains, and test is scored.\n")
        return {"kind": "published", "train": "val"}
    named = join_items(sorted(found - {NO_SPLIT})) or "none"
    sys.stdout.write(f"Splits of the files: {named}. A fifth of the images, chosen by a seed, is held out as val.\n")
    return {"kind": "random", "val": 0.2} | ({} if found == {"train"} else {"test": 0.0})


def _with_splits(name: str, section: dict[str, Any] | None, reading: Reading) -> Reading:
    """The images in their splits. Similar images are not looked for, which would read all files."""
    split = parse_split(section, f"datasets.{name}")
    if is_grouped_by_similarity(split):
        sys.stdout.write("The counts of splits will differ: only the stage tables looks for similar images.\n")
    return assign_splits(reading, split, f"datasets.{name}", np.arange(reading.tables.images.num_rows))


def _validate(params: Params, name: str, config: DatasetConfig, reading: Reading, tree: FileTree) -> ValidationResult:
    """All checks that need no content of an image file."""
    limits, checks = parse_checks(params.model_copy(update={"datasets": {**params.datasets, name: config}}), name)
    files, archives = _unread_files(reading.tables.images, tree), schema.ARCHIVES.empty_table()
    return run_checks(reading, files, archives, limits, checks)


def _unread_files(images: pa.Table, tree: FileTree) -> pa.Table:
    """A table of files in which nothing is wrong but that some are missing: schema.FILES."""
    places = (images[name].to_pylist() for name in ("file_name", "archive"))
    is_found = [is_record_name(archive) or tree.find(name) is not None for name, archive in zip(*places, strict=True)]
    columns = {
        "image_id": images["image_id"],
        "split": images["split"],
        # A missing file has no checksum, and files with the same are duplicates.
        "sha256": pa.array([f"unread file {row}" if found else None for row, found in enumerate(is_found)]),
        "problem": pa.array([None if found else "not found" for found in is_found], pa.string()),
    }
    rows = [columns.get(field.name, pa.nulls(images.num_rows, field.type)) for field in schema.FILES]
    return pa.table(rows, schema.FILES)


def _suggest_system(name: str, validation: ValidationResult) -> dict[str, Any]:
    statistics = validation.statistics
    images = dict(zip(statistics.splits, statistics.images.tolist(), strict=True))
    most = max((int(counts.max()) for counts in statistics.boxes_per_image if len(counts)), default=1)
    split = "val" if images.get("val") else "test"
    return suggest_section(name, split, images.get("train", 0), most, statistics.relative_sides)
