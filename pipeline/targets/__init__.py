"""Training targets of whole splits: the ground truth relative to the model input, encoded into shards by a codec.

The codecs themselves belong to the systems (pipeline/systems/<name>/targets.py). Nothing here imports Keras.
"""
