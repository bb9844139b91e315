"""Models whose layers compute in 16 bits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from pipeline.systems.interfaces import Part


@contextmanager
def computed_in(policy: str) -> Iterator[None]:
    """Models that are built inside have that policy."""
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def losses_in_16_bits(
    build: Callable[[], keras.Model], part: Callable[[keras.Model], Part], images: Any, targets: dict[str, Any]
) -> list[float]:
    """Of twelve epochs on one batch."""
    with computed_in("mixed_float16"):
        keras.utils.set_random_seed(4)
        model = build()
        model.compile(keras.optimizers.Adam(0.01), **part(model).compile_arguments)
        return list(model.fit(images, targets, epochs=12, verbose=0).history["loss"])
