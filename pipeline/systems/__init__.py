"""One subpackage per system, with its configuration, target codec, model and losses.

The modules beside them hold the interfaces and what several systems share. Datasets, training and scores do not belong
here.
"""
