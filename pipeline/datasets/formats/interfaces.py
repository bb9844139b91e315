"""What a reader of a file format offers, and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pyarrow as pa

from pipeline.archives.file_tree import FileTree
from pipeline.core import schema
from pipeline.core.config import Config
from pipeline.datasets.annotations import Tables

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm")

NO_SPLIT = ""
"""The split of an image that its files assign to none. The stage `tables` replaces it."""


@dataclass(frozen=True)
class Reading:
    """What a reader finds.

    Attributes:
        tables: images, boxes and categories. Images without a split have NO_SPLIT.
        image_locations: schema.LOCATIONS, row by row those of the images; no rows if the reader states none.
        box_locations: the same of the boxes.
        refused: what could not become a row of the tables, schema.REFUSED.
        passed_over: files and entries that are not used, which nobody needs to correct, schema.PASSED_OVER.

    """

    tables: Tables
    image_locations: pa.Table = field(default_factory=schema.LOCATIONS.empty_table)
    box_locations: pa.Table = field(default_factory=schema.LOCATIONS.empty_table)
    refused: pa.Table = field(default_factory=schema.REFUSED.empty_table)
    passed_over: pa.Table = field(default_factory=schema.PASSED_OVER.empty_table)


@dataclass(frozen=True)
class Detection:
    """What speaks for a format.

    Attributes:
        evidence: what was found, as a noun phrase: "364 XML files with <annotation>".
        num_files: how many annotation files were found.

    """

    evidence: str
    num_files: int


OptionsT = TypeVar("OptionsT", bound=Config)


class FormatReader(ABC, Generic[OptionsT]):
    """Reads the files of any dataset in one format."""

    @property
    @abstractmethod
    def options_class(self) -> type[OptionsT]:
        """Class of `datasets.<name>.options` in params.yaml. Every option has a default."""

    @abstractmethod
    def detect(self, tree: FileTree) -> Detection | None:
        """Return what speaks for this format, or None. Reads a few files only, however many there are."""

    @abstractmethod
    def read(self, tree: FileTree, options: OptionsT, classes: tuple[str, ...] = ()) -> Reading:
        """Read everything.

        A reader raises an error only if nothing can be read at all. A line or element that is wrong is refused alone,
        with its file and position; ids, sizes and boxes are checked in `pipeline.validation`. The result does not
        depend on the order of the files.

        Args:
            tree: the files.
            options: the options of the format.
            classes: the only classes to read, in the order of their class indices; all if empty. Boxes of other classes
                are passed over. For a format without names of classes, these are the names.

        Raises:
            BoxlineError: if there are no annotations of this format.

        """
