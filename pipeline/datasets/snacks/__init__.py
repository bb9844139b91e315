"""Snacks: photographs of 20 kinds of snacks with boxes, by M. Hollemans from Open Images.

Source, sample and reader of this dataset only.
"""
