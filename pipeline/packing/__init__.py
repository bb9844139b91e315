"""Packing: images decoded once, resized to model inputs and stored in memory-mapped shards.

Code belongs here if it reads or writes shards, or decides which images have to be decoded again. Where an image is
placed in its model input is computed in `geometry`; training targets are written by `pipeline.targets`.
"""
