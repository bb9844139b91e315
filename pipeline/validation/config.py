"""The checks by name, and the checks of one dataset."""

from typing import Any

from pydantic import Field

from pipeline.core.config import Config, Fraction, Params, parse_config
from pipeline.validation import archive_checks as archives
from pipeline.validation import box_checks as boxes
from pipeline.validation import dataset_checks as datasets
from pipeline.validation import drift_checks as drift
from pipeline.validation import image_checks as images
from pipeline.validation.base import ArchiveCheck, BoxCheck, DatasetCheck, DriftCheck, ImageCheck


class Checks(Config):
    """The section `checks` of params.yaml.

    Rows are checked in this order, images first. A rejected row is not checked any further, so that each check can rely
    on the earlier ones.
    """

    image_id_below_one: images.ImageIdBelowOne
    image_id_duplicated: images.ImageIdDuplicated
    image_file_missing: images.ImageFileMissing
    image_not_decodable: images.ImageNotDecodable
    image_size_not_positive: images.ImageSizeNotPositive
    image_size_differs: images.ImageSizeDiffers
    image_exif_rotated: images.ImageExifRotated
    image_tiny: images.ImageTiny
    image_duplicated_within_split: images.ImageDuplicatedWithinSplit
    image_duplicated_across_splits: images.ImageDuplicatedAcrossSplits
    image_similar_across_splits: images.ImageSimilarAcrossSplits

    archive_file_unused: archives.ArchiveFileUnused

    box_id_below_one: boxes.BoxIdBelowOne
    box_id_duplicated: boxes.BoxIdDuplicated
    box_image_unknown: boxes.BoxImageUnknown
    box_category_unknown: boxes.BoxCategoryUnknown
    box_not_finite: boxes.BoxNotFinite
    box_size_not_positive: boxes.BoxSizeNotPositive
    box_outside_image: boxes.BoxOutsideImage
    box_area_not_positive: boxes.BoxAreaNotPositive
    box_area_exceeds_box: boxes.BoxAreaExceedsBox
    outline_malformed: boxes.OutlineMalformed
    box_differs_from_outline: boxes.BoxDiffersFromOutline
    box_duplicated: boxes.BoxDuplicated
    box_nearly_duplicated: boxes.BoxNearlyDuplicated
    box_in_two_classes: boxes.BoxInTwoClasses

    category_name_empty: datasets.CategoryNameEmpty
    category_name_duplicated: datasets.CategoryNameDuplicated
    class_without_boxes: datasets.ClassWithoutBoxes
    class_rare: datasets.ClassRare
    class_dominant: datasets.ClassDominant
    too_many_images_without_boxes: datasets.TooManyImagesWithoutBoxes
    too_many_small_boxes: datasets.TooManySmallBoxes

    drift_of_class_frequencies: drift.DriftOfClassFrequencies
    drift_of_box_sizes: drift.DriftOfBoxSizes
    drift_of_image_count: drift.DriftOfImageCount
    drift_of_box_count: drift.DriftOfBoxCount
    drift_of_images_without_boxes: drift.DriftOfImagesWithoutBoxes

    def of_images(self) -> dict[str, ImageCheck]:
        """The checks of images by name."""
        return {name: check for name, check in self if isinstance(check, ImageCheck)}

    def of_boxes(self) -> dict[str, BoxCheck]:
        """The checks of boxes by name."""
        return {name: check for name, check in self if isinstance(check, BoxCheck)}

    def of_archives(self) -> dict[str, ArchiveCheck]:
        """The checks of archives by name."""
        return {name: check for name, check in self if isinstance(check, ArchiveCheck)}

    def of_dataset(self) -> dict[str, DatasetCheck]:
        """The checks of the whole dataset by name."""
        return {name: check for name, check in self if isinstance(check, DatasetCheck)}

    def of_drift(self) -> dict[str, DriftCheck]:
        """The checks against an earlier version by name."""
        return {name: check for name, check in self if isinstance(check, DriftCheck)}


class ValidateConfig(Config):
    """The section `validate` of a dataset.

    Attributes:
        max_quarantined_fraction: fraction of images and boxes together that may be quarantined, 0..1. If there are
            more, the dataset fails.
        checks: severities and thresholds that differ from `checks` for this dataset.

    """

    max_quarantined_fraction: Fraction = 0.05
    checks: dict[str, dict[str, Any]] = Field(default_factory=dict)


def parse_checks(params: Params, dataset: str) -> tuple[ValidateConfig, Checks]:
    """The `validate` section of the dataset, and all checks with the dataset's own severities and thresholds.

    Raises:
        BoxlineError: naming the first invalid name, key or value in `checks` or in the dataset's section.

    """
    where = f"datasets.{dataset}.validate"
    config = parse_config(params.dataset(dataset).validation, ValidateConfig, where)
    parse_config(params.checks, Checks, "checks")
    overrides = {name: params.checks.get(name, {}) | keys for name, keys in config.checks.items()}
    return config, parse_config(params.checks | overrides, Checks, f"{where}.checks")
