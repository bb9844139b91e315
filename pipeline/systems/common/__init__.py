"""What all systems share: the interfaces, the registry, labels, layers and losses, and the metadata of a trained model.

Code of a single system does not belong here. Only layers.py, box_losses.py and what they build import Keras.
"""
