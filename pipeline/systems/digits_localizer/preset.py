"""The digit localizer starts from random weights: it has no preset."""

KIND = None
