"""Digits: one MNIST digit somewhere in a black 100 x 100 image, github.com/ayulockin/synthetic_datasets."""
