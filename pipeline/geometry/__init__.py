"""Boxes and where images are placed: pure arrays, no TensorFlow, no files."""
