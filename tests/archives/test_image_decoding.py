"""Decoding with limits: what is refused, how it is reported, and how many large images are decoded at a time."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from pipeline.archives import image_decoding
from pipeline.archives.image_decoding import open_image
from pipeline.core.errors import BoxlineError


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def lock_is_free() -> bool:
    if not image_decoding._large_image_lock.acquire(blocking=False):
        return False
    image_decoding._large_image_lock.release()
    return True


def test_image_of_too_many_pixels_is_refused_and_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoding, "MAX_IMAGE_PIXELS", 199)
    with pytest.raises(BoxlineError) as raised, open_image(png(20, 10), "a.png", "Give another image."):
        raise AssertionError("opened")
    assert str(raised.value) == (
        "a.png does not decode (Image size (200 pixels) exceeds limit of 199 pixels). Give another image."
    )
    with open_image(png(199, 1), "a.png", "") as image:
        assert image.size == (199, 1)


def test_one_large_image_is_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoding, "LARGE_IMAGE_PIXELS", 199)
    with ThreadPoolExecutor(1) as other_thread:
        with open_image(png(20, 10), "large.png", ""):
            assert not other_thread.submit(lock_is_free).result()
        with open_image(png(199, 1), "small.png", ""):
            assert other_thread.submit(lock_is_free).result()


def test_errors_of_decoders_name_the_file_and_others_pass() -> None:
    with pytest.raises(BoxlineError) as raised, open_image(png(2, 1), "a.png", ""):
        raise KeyError("tag")  # as a decoder does for a malformed header
    assert str(raised.value) == "a.png does not decode (KeyError: 'tag')."
    with pytest.raises(BoxlineError, match="mine"), open_image(png(2, 1), "a.png", ""):
        raise BoxlineError("mine")
    with pytest.raises(MemoryError), open_image(png(2, 1), "a.png", ""):
        raise MemoryError
