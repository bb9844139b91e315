"""Training targets of whole splits: the ground truth as a model sees it, encoded into shards by a system's codec.

The codecs themselves belong to the systems (pipeline/systems/<name>/targets.py). Nothing here imports Keras.
"""
