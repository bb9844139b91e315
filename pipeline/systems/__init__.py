"""One subpackage per system, with its configuration, target codec, model and losses.

The subpackage `common` holds the interfaces and what several systems share. Datasets, training and scores do not belong
here.
"""
