"""Digit localizer: one class and one box per image, from a small convolutional network."""
