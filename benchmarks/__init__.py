"""Benchmarks of speed and accuracy. They write benchmarks/results/ and the generated tables of docs/results.md.

Tests of correctness do not belong here.
"""
