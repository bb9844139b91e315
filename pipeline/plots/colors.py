"""Colours of classes, the same in pictures and in the viewer."""

import colorsys

GOLDEN_RATIO = (1 + 5**0.5) / 2


def class_color(label: int) -> tuple[float, float, float]:
    """RGB in 0..1. Steps of the golden ratio around the hue circle keep neighbouring labels far apart."""
    return colorsys.hsv_to_rgb(label / GOLDEN_RATIO % 1, 0.85, 1.0)
