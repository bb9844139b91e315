"""Numbers in words, as the checks of images import them."""

from pipeline.words import counted as counted
