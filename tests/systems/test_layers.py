import keras
import numpy as np
import pytest

from pipeline.systems.common.layers import convolution


@pytest.mark.parametrize(("strides", "side"), [(1, 7), (2, 4)])
def test_convolution_keeps_or_halves_the_side_and_ends_with_relu(strides: int, side: int) -> None:
    images = np.random.default_rng(1).normal(size=(2, 7, 7, 3)).astype(np.float32)
    features = np.asarray(convolution(images, 5, strides=strides))
    assert features.shape == (2, side, side, 5)
    assert features.min() == 0 < features.max()


def test_moving_averages_converge_within_tens_of_steps() -> None:
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, convolution(image, 2))
    [norm] = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    norm.moving_mean.assign([5.0, 5.0])
    for _ in range(50):
        model(np.zeros((2, 4, 4, 1)), training=True)
    assert np.asarray(norm.moving_mean).max() < 0.05
