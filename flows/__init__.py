"""Prefect arranges what DVC does: when, again after which faults, how long, and watched by whom.

DVC alone decides what there is to do. Flows call the project's commands and import nothing of `pipeline`.
"""
