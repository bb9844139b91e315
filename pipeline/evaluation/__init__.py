"""Scores, baselines, error analysis and plots of systems, and the oracle scores of their targets.

A `Task` decides which scores and plots fit a system. Running models belongs in `inference`, drawing in `plots`.
"""
