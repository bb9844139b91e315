"""Colors of classes, the same in all figures and HTML pages."""

import colorsys

GOLDEN_RATIO = (1 + 5**0.5) / 2


def class_color(label: int) -> tuple[float, float, float]:
    """RGB in 0..1. Steps of the golden ratio around the hue circle keep the colors of neighboring labels far apart."""
    return colorsys.hsv_to_rgb(label / GOLDEN_RATIO % 1, 0.85, 1.0)
