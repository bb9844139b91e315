"""Differences of a dataset between two versions: images, boxes and classes, as text and as an HTML page.

Checks of a single version belong in `validation`; versions of other outputs than tables are compared by DVC itself.
"""
