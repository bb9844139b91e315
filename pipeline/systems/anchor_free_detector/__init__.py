"""Anchor-free detector: a box and class scores from every cell of a feature pyramid."""
