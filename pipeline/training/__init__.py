"""Data loading, augmentation, fitting, callbacks and checkpoints of a training.

Models, losses and codecs come from `pipeline.systems`; the stage `train` reads params.yaml and calls this package.
"""
