"""Distributional localizer: one class and one box per image; each edge is a probability distribution."""
