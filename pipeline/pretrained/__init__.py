"""Pretrained weights: one class per network, their configuration, how they are fetched, and how they are loaded.

Which weights a system starts from is declared by the system, in `pipeline/systems/<name>/system.py`.
"""
