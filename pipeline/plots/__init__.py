"""Figures: images with boxes, grids of them, training curves, and panels of bars and lines.

Functions here take arrays and plain values and write files with Matplotlib. Which figures a report has, and from which
scores, is decided in `evaluation`.
"""
