"""Models that compute in 16 bits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from pipeline.systems.common.interfaces import TrainingPhase


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Models that are built inside have that policy."""
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def losses_in_float16(
    build: Callable[[], keras.Model],
    phase_model: Callable[[keras.Model], TrainingPhase],
    images: Any,
    targets: dict[str, Any],
) -> list[float]:
    """The losses of twelve epochs on one batch under mixed_float16."""
    with dtype_policy("mixed_float16"):
        keras.utils.set_random_seed(4)
        model = build()
        model.compile(keras.optimizers.Adam(0.01), **phase_model(model).compile_arguments)
        return list(model.fit(images, targets, epochs=12, verbose=0).history["loss"])
