"""Integrity of the DVC remote: which objects dvc.lock refers to, which of them it lacks, and how to restore those.

The history of runs is read in `lineage`; datasets are downloaded in `download`.
"""
