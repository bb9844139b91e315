"""Pretrained weights: their configuration, how they are fetched, and how they are loaded from disk.

Which weights a system starts from is declared beside the system, in `pipeline/systems/<name>/pretrained.py`.
"""
