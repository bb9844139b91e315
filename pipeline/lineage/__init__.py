"""Lineage of results: recorded runs on the branch `runs`, and the way from a file back to the run that produced it.

Completeness of the DVC remote belongs in `remote`; reading dvc.lock and calling Git belong in `core`.
"""
