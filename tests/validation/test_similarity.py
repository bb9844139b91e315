"""The similarity of images, the search for similar pairs, and the check that uses them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.datasets.coco.reader import CocoReader
from pipeline.datasets.coco.sample import CocoSampleWriter, SampleConfig
from pipeline.validation import similarity
from pipeline.validation.run_checks import ValidationResult
from pipeline.validation.similarity import edge_vectors, most_similar, similar_groups, thumbnails_of
from tests.support.scenes import image
from tests.support.tiny_project import PROJECT
from tests.support.validation_scene import BOXES, IMAGES, checked, result_of, violation_counts

REAL_COCO = PROJECT.parent / "shared" / "data" / "coco"
MIN_SIMILARITY = 0.9  # as in params.yaml


def neighbor_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The definition: the correlation of the differences to the right and down."""
    differences = [
        np.concatenate([np.diff(pixels, axis=1).ravel(), np.diff(pixels, axis=0).ravel()])
        for pixels in (one.astype(float), other.astype(float))
    ]
    return float(differences[0] @ differences[1] / np.linalg.norm(differences[0]) / np.linalg.norm(differences[1]))


def noise(seed: int, count: int) -> np.ndarray:
    """Smooth and rough thumbnails, uint8 [count, 16, 16]."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 17, count)
    return np.stack([cv2.resize(random.integers(0, 256, (size, size), np.uint8), (16, 16)) for size in sizes])


def test_similarity_is_correlation_of_differences_between_neighbors() -> None:
    thumbnails = noise(1, 12)
    vectors, contrasts = edge_vectors(thumbnails)
    expected = [[neighbor_correlation(one, other) for other in thumbnails] for one in thumbnails]
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-5)
    steps = np.diff(thumbnails[3].astype(float), axis=1).ravel(), np.diff(thumbnails[3].astype(float), axis=0).ravel()
    assert contrasts[3] == pytest.approx(np.sqrt(np.mean(np.concatenate(steps) ** 2)), rel=1e-5)


def test_similarity_of_staircases_agrees_with_hand_computation() -> None:
    """Columns 0, 10, 20, ...: 240 differences of 10 to the right and 240 of 0 down."""
    staircase = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    vectors, contrasts = edge_vectors(
        np.stack([staircase, staircase.T, 200 - staircase, np.full((16, 16), 90, np.uint8)])
    )
    assert contrasts.tolist() == pytest.approx([np.sqrt(50), np.sqrt(50), np.sqrt(50), 0], abs=1e-4)
    assert (vectors @ vectors[0]).tolist() == pytest.approx([1, 0, -1, 0], abs=1e-5)


@given(st.integers(0, 10_000), st.floats(0.05, 0.99))
def test_coarse_pass_excludes_no_similar_pair(seed: int, at_least: float) -> None:
    images, others = edge_vectors(noise(seed, 30))[0], edge_vectors(noise(seed + 1, 20))[0]
    others[3] = images[7]
    best, similarities = most_similar(images, others, at_least)
    exact = images @ others.T
    expected = np.where(exact.max(axis=1) >= at_least, exact.argmax(axis=1), -1)
    clear = np.abs(exact.max(axis=1) - at_least) > 1e-5
    np.testing.assert_array_equal(best[clear], expected[clear])
    assert best[7] == 3
    hit = best >= 0
    np.testing.assert_allclose(similarities[hit], exact[hit, best[hit]], atol=1e-5)


def test_result_does_not_depend_on_tile_size(monkeypatch: pytest.MonkeyPatch) -> None:
    images, others = edge_vectors(noise(3, 50))[0], edge_vectors(noise(4, 7))[0]
    whole = most_similar(images, others, 0.1)
    monkeypatch.setattr(similarity, "TILE_PAIRS", 20)
    tiled = most_similar(images, others, 0.1)
    assert (whole[0] >= 0).any()
    assert (whole[0] < 0).any()
    np.testing.assert_array_equal(tiled[0], whole[0])


def test_no_other_images_give_no_match() -> None:
    best, _ = most_similar(edge_vectors(noise(3, 4))[0], edge_vectors(np.zeros((0, 16, 16), np.uint8))[0], 0.1)
    assert best.tolist() == [-1] * 4


def test_thumbnails_are_read_unchanged() -> None:
    model_inputs = noise(9, 3)
    column = pa.chunked_array(
        [[model_inputs[0].tobytes(), None], [model_inputs[1].tobytes(), model_inputs[2].tobytes()]], pa.binary(256)
    )
    np.testing.assert_array_equal(
        thumbnails_of(column), [model_inputs[0], np.zeros((16, 16)), model_inputs[1], model_inputs[2]]
    )
    np.testing.assert_array_equal(thumbnails_of(column.slice(2)), model_inputs[1:])


# --- check ------------------------------------------------------------------------------------------------------------


def thumbnail(seed: int, contrast: float = 1.0) -> bytes:
    return np.uint8(128 + contrast * (noise(seed, 1)[0].astype(float) - 128)).tobytes()


def with_thumbnails(splits: list[str], *files: dict[str, Any], **changed: Any) -> ValidationResult:
    """The scene with a further image in each of these splits."""
    images = [*IMAGES, *(image(20 + number, split) for number, split in enumerate(splits))]
    limit = {"too_many_images_without_boxes": {"max_fraction": 1.0}}
    return checked(images, BOXES, files=files, **limit, **changed)


def test_brighter_image_of_later_split_is_reported() -> None:
    original, brighter = {"thumbnail": thumbnail(1)}, {"thumbnail": thumbnail(1, contrast=0.8)}
    validation = with_thumbnails(["val", "train", "val"], {"thumbnail": thumbnail(2)}, original, brighter)
    assert violation_counts(validation) == {"image_similar_across_splits": 1}
    [row] = result_of(validation, "image_similar_across_splits").violations.to_pylist()
    assert (row["row_number"], row["file_name"]) == (4, "000000000021.jpg")
    assert {**row["values"], "similarity": round(row["values"]["similarity"], 2)} == {
        "split": "train",
        "similar_to": "000000000022.jpg",
        "similar_to_id": 22,
        "similar_to_split": "val",
        "similarity": 1.0,
    }


def test_min_similarity_is_the_limit() -> None:
    one, other = thumbnail(1), (np.frombuffer(thumbnail(1), np.uint8) // 2 + np.frombuffer(thumbnail(2), np.uint8) // 2)
    exact = neighbor_correlation(*(np.frombuffer(bytes(t), np.uint8).reshape(16, 16) for t in (one, other.tobytes())))
    assert 0.3 < exact < 0.95
    files = {"thumbnail": one}, {"thumbnail": other.tobytes()}
    for limit, count in ((exact - 1e-4, 1), (exact + 1e-4, 0)):
        changed = {"image_similar_across_splits": {"min_similarity": limit}}
        assert (
            result_of(with_thumbnails(["train", "val"], *files, **changed), "image_similar_across_splits").count
            == count
        )


def test_similar_images_of_one_split_pass() -> None:
    """Frames of one video make a poor training set, but are no leak."""
    files = {"thumbnail": thumbnail(1)}, {"thumbnail": thumbnail(1, contrast=0.8)}
    assert violation_counts(with_thumbnails(["train", "train"], *files)) == {}


def test_identical_files_violate_only_the_check_of_duplicates() -> None:
    file = {"thumbnail": thumbnail(1), "sha256": f"{99:064x}"}
    assert violation_counts(with_thumbnails(["train", "val"], file, file)) == {"image_duplicated_across_splits": 1}


def test_plain_images_are_not_compared() -> None:
    faint = np.frombuffer(thumbnail(1, contrast=0.02), np.uint8)
    files = {"thumbnail": faint.tobytes()}, {"thumbnail": (faint + 1).tobytes()}
    validation = with_thumbnails(["train", "val"], *files)
    assert violation_counts(validation) == {}
    # including the two images of the scene, which are black
    assert result_of(validation, "image_similar_across_splits").measured == "4 images are too plain to compare"


def test_error_quarantines_the_training_image() -> None:
    files = {"thumbnail": thumbnail(1)}, {"thumbnail": thumbnail(1, contrast=0.8)}
    validation = with_thumbnails(["val", "train"], *files, image_similar_across_splits={"severity": "error"})
    assert [(row["row_id"], row["reason"]) for row in validation.quarantine.to_pylist()] == [
        (21, "image_similar_across_splits")
    ]


# --- altered images ---------------------------------------------------------------------------------------------------


def reencoded(pil_image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    pil_image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": reencoded,
    "half size": lambda pil_image: pil_image.resize((pil_image.width // 2, pil_image.height // 2)),
    "stretched": lambda pil_image: pil_image.resize((300, 100)),
    "brighter by a tenth": lambda pil_image: ImageEnhance.Brightness(pil_image).enhance(1.1),
    "less contrast": lambda pil_image: ImageEnhance.Contrast(pil_image).enhance(0.8),
    "gray": lambda pil_image: pil_image.convert("L"),
}


def thumbnail_of(pil_image: Image.Image) -> np.ndarray:
    return cv2.resize(np.asarray(pil_image.convert("L")), (16, 16), interpolation=cv2.INTER_AREA)


def vectors_of(images: list[Image.Image]) -> np.ndarray:
    """The vectors of the images that are not too plain."""
    vectors, contrasts = edge_vectors(np.stack([thumbnail_of(pil_image) for pil_image in images]))
    return vectors[contrasts >= 4]


def read_images(download: Path) -> list[Image.Image]:
    archives = ArchiveFolder(download)
    members = CocoReader().read(download).images.select(["archive", "member"]).to_pylist()
    return [Image.open(io.BytesIO(archives[one["archive"]][one["member"]].read())).convert("RGB") for one in members]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    folder = tmp_path_factory.mktemp("drawn")
    CocoSampleWriter().write(folder, SampleConfig(seed=3, train_images=120, val_images=30))
    return read_images(folder)


def require_unique_matches(images: list[Image.Image]) -> None:
    contrasts = edge_vectors(np.stack([thumbnail_of(pil_image) for pil_image in images]))[1]
    # More contrast than the check requires, so that altered images stay above the limit.
    images = [pil_image for pil_image, contrast in zip(images, contrasts, strict=True) if contrast >= 6]
    originals = vectors_of(images)
    for name, alter in ALTERED.items():
        best, _ = most_similar(vectors_of([alter(pil_image) for pil_image in images]), originals, MIN_SIMILARITY)
        assert best.tolist() == list(range(len(images))), name
    others = originals @ originals.T - 2 * np.eye(len(originals))
    assert others.max() < MIN_SIMILARITY - 0.05


def test_altered_scenes_match_only_their_originals(drawn: list[Image.Image]) -> None:
    assert len(drawn) == 150
    require_unique_matches(drawn)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not REAL_COCO.is_dir(), reason="no real images: ../shared/data/coco is not there")
def test_altered_photographs_match_only_their_originals() -> None:
    photographs = read_images(REAL_COCO)
    assert len(photographs) == 323
    require_unique_matches(photographs)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([1, 50, 1 << 23]))
def test_groups_are_the_connected_images(seed: int, num_images: int, tile_pairs: int) -> None:
    """Against a search that follows one pair after the other. A chain of small changes connects its ends."""
    random = np.random.default_rng(seed)
    bases = noise(seed, 3).astype(int)
    thumbnails = np.clip(bases[random.integers(0, 3, num_images)] + random.normal(0, 25, (num_images, 16, 16)), 0, 255)
    thumbnails = thumbnails.astype(np.uint8)
    thumbnails[random.random(num_images) < 0.1] = 7  # plain
    digests = [None if digest == 0 else str(digest) for digest in random.integers(0, 3 * num_images + 1, num_images)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "TILE_PAIRS", tile_pairs)
        found = similar_groups(thumbnails, digests)
    vectors, contrasts = edge_vectors(thumbnails)
    vectors[contrasts < 4] = 0
    connected = vectors @ vectors.T >= MIN_SIMILARITY
    connected |= np.array([[one is not None and one == other for other in digests] for one in digests], bool).reshape(
        num_images, num_images
    )
    expected = np.arange(num_images)
    for row in range(num_images):
        waiting = [row]
        while waiting:
            one = waiting.pop()
            for other in np.flatnonzero(connected[one] & (expected > row)).tolist():
                expected[other] = row
                waiting.append(other)
    assert found.tolist() == expected.tolist()


def test_copies_of_photographs_are_grouped() -> None:
    photographs = noise(2, 6)
    darker = (photographs * 0.7).astype(np.uint8)
    groups = similar_groups(np.concatenate([photographs, darker]), [None] * 12)
    assert groups.tolist() == [*range(6), *range(6)]
    assert similar_groups(np.empty((0, 16, 16), np.uint8), []).tolist() == []
