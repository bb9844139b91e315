"""What a reader of a file format offers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.archives.file_tree import FileTree
from pipeline.core.config import Config
from pipeline.datasets.annotations import Reading


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
