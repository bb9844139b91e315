"""Numbers of pixels from annotation files, where they are text or JSON."""

MAX_COORDINATE = 1e9
"""Far outside of any image; the area of a box between such corners is a number."""


def coordinate(value: object) -> float:
    """A coordinate from text or JSON. Whether it is inside the image is checked in pipeline.validation.

    Raises:
        ValueError: if it is not a number, or its absolute value exceeds MAX_COORDINATE.

    """
    if isinstance(value, str):
        number = float("nan") if "_" in value else float(value)  # Python reads 1_0 as 10
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if abs(value) <= MAX_COORDINATE else float("nan")
    else:
        number = float("nan")
    if not abs(number) <= MAX_COORDINATE:  # this form of the comparison excludes NaN too
        raise ValueError
    return number


def side(value: object) -> int:
    """The width or height of an image from text or JSON; 0 if it is none."""
    try:
        number = coordinate(value)
    except ValueError:
        return 0
    return int(number) if number >= 1 else 0
