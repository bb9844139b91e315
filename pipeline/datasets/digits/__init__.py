"""Digits: one MNIST digit anywhere in a black 100 x 100 image, github.com/ayulockin/synthetic_datasets.

Source, sample and reader of this dataset only.
"""
