"""The similarity of images by their thumbnails, for every pair of two sets.

The similarity of two images is the correlation of the differences between neighboring pixels of their thumbnails, to
the right and down, from -1 to 1: images with the same edges are similar. It does not depend on brightness and contrast,
and hardly on size and compression. Pixel correlation rates unrelated images with similar layout as duplicates: of 30
million pairs of crops of different COCO photographs none reached 0.75 by their edges, and 62 reached 0.9 by their
pixels.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.schema import THUMBNAIL_SIDE

PIXELS = THUMBNAIL_SIDE * THUMBNAIL_SIDE
DIFFERENCES = 2 * THUMBNAIL_SIDE * (THUMBNAIL_SIDE - 1)

_WAVES = np.arange(THUMBNAIL_SIDE)
_COSINES = np.cos(np.pi * np.outer(_WAVES, 2 * _WAVES + 1) / (2 * THUMBNAIL_SIDE)) * np.sqrt(2 / THUMBNAIL_SIDE)
_COSINES[0] /= np.sqrt(2)
# The squared difference of neighbors in a cosine wave, as a multiple of its squared amplitude, along one axis.
_STEPS = 4 * np.sin(np.pi * _WAVES / (2 * THUMBNAIL_SIDE)) ** 2
_WEIGHTS = np.sqrt(np.add.outer(_STEPS, _STEPS)).ravel()
_ORDER = np.argsort(_WEIGHTS, kind="stable")[1:]  # from low to high frequencies, without the mean, which has no edges
# Differences of cosine waves are orthogonal. So the dot product of all 480 differences of two images equals that of 255
# weighted cosine coefficients, low frequencies first.
_EDGES = (np.kron(_COSINES, _COSINES) * _WEIGHTS[:, None])[_ORDER].T.astype(np.float32)  # [256, 255]

COARSE_COEFFICIENTS = 80
"""Coefficients that the first pass compares, of 255; enough that hardly any dissimilar image passes it."""

BLOCK_ROWS = 4096
"""Thumbnails that are converted at a time."""

MIN_LENGTH = 0.5
"""Norm of differences below which an image has none: it is 0 or at least the root of 2, plus a rounding error."""

MIN_GROUP_SIMILARITY = 0.9
"""The lowest similarity of images that belong together, like min_similarity of image_similar_across_splits."""

MIN_GROUP_CONTRAST = 4.0
"""Gray levels below which a thumbnail is too plain to compare, like min_contrast of that check."""

TILE_PAIRS = 1 << 23
"""Pairs that are compared at a time: 32 MB of similarities, whatever the number of images."""

ROUNDING_MARGIN = 1e-4
"""Larger than the rounding error of float32 in a sum of 255 products below 1."""


def thumbnails_of(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """The column `thumbnail` of schema.FILES as uint8 [N, 16, 16]; null is black."""
    black = pa.scalar(bytes(PIXELS), pa.binary(PIXELS))
    array = pc.if_else(pc.is_valid(column), column, black).combine_chunks()
    flat = np.frombuffer(array.buffers()[1], np.uint8) if len(array) else np.zeros(0, np.uint8)
    return flat[array.offset * PIXELS :][: len(array) * PIXELS].reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def edge_vectors(thumbnails: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute what the similarity of images is computed from.

    Args:
        thumbnails: uint8 [N, 16, 16].

    Returns:
        Unit vectors [N, 255], whose dot product is the similarity of two images, and contrasts [N]: the root mean
        square of the differences between neighboring pixels, in gray levels. The vector of an image without
        contrast is 0.

    """
    vectors = np.empty((len(thumbnails), len(_ORDER)), np.float32)
    for start in range(0, len(thumbnails), BLOCK_ROWS):
        block = thumbnails[start : start + BLOCK_ROWS].reshape(-1, PIXELS).astype(np.float32)
        np.matmul(block, _EDGES, out=vectors[start : start + BLOCK_ROWS])
    lengths = np.linalg.norm(vectors, axis=1)
    vectors[lengths < MIN_LENGTH] = 0
    vectors /= np.maximum(lengths, MIN_LENGTH)[:, None]
    return vectors, lengths / np.float32(np.sqrt(DIFFERENCES))


def most_similar(
    vectors: NDArray[np.float32], others: NDArray[np.float32], min_similarity: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the most similar other image of each image.

    The search is exact: the first pass excludes only pairs that cannot reach `min_similarity`.

    Args:
        vectors: `edge_vectors` of the images, [N, 255].
        others: `edge_vectors` of the other images, [M, 255].
        min_similarity: the lowest similarity of a result.

    Returns:
        Indices in `others`, int64 [N], -1 if no other image reaches `min_similarity`, and similarities, [N].

    """
    best = np.full(len(vectors), -1)
    similarities = np.zeros(len(vectors), np.float32)
    coarse_others = _coarse(others).T
    step = max(1, TILE_PAIRS // max(1, len(others)))
    for start in range(0, len(vectors) if len(others) else 0, step):
        block = vectors[start : start + step]
        upper_bound = (_coarse(block) @ coarse_others).max(axis=1)
        candidates = np.flatnonzero(upper_bound >= min_similarity - ROUNDING_MARGIN)
        exact = block[candidates] @ others.T
        nearest = exact.argmax(axis=1)
        similarity = exact[np.arange(len(candidates)), nearest]
        is_similar = similarity >= min_similarity
        best[start + candidates[is_similar]] = nearest[is_similar]
        similarities[start + candidates[is_similar]] = similarity[is_similar]
    return best, similarities


def similar_groups(thumbnails: NDArray[np.uint8], digests: Sequence[str | None]) -> NDArray[np.int64]:
    """Group images that are almost equal, or equal, and those that are so by way of others.

    Args:
        thumbnails: uint8 [N, 16, 16].
        digests: of the files, [N]; images with the same one are equal. None where it is unknown.

    Returns:
        The number of the group of each image, int64 [N]: the row of its first image.

    """
    vectors, contrasts = edge_vectors(thumbnails)
    vectors[contrasts < MIN_GROUP_CONTRAST] = 0
    first_rows: dict[str, int] = {}
    groups = np.array(
        [row if digest is None else first_rows.setdefault(digest, row) for row, digest in enumerate(digests)], np.int64
    )
    coarse = _coarse(vectors)
    step = max(1, TILE_PAIRS // max(1, len(vectors)))
    for start in range(0, len(vectors), step):
        stop = min(start + step, len(vectors))
        # Each pair once: the rows of the block with themselves and all later ones.
        is_candidate = coarse[start:stop] @ coarse[start:].T >= MIN_GROUP_SIMILARITY - ROUNDING_MARGIN
        np.fill_diagonal(is_candidate, val=False)
        candidates, others = np.flatnonzero(is_candidate.any(axis=1)), np.flatnonzero(is_candidate.any(axis=0))
        exact = vectors[start + candidates] @ vectors[start + others].T
        rows, columns = np.nonzero(exact >= MIN_GROUP_SIMILARITY)
        _merge(groups, start + candidates[rows], start + others[columns])
    return groups


def _merge(groups: NDArray[np.int64], ones: NDArray[np.int64], others: NDArray[np.int64]) -> None:
    """Merge the groups of pairs of images, in place. The lower number of two groups stays."""
    while True:
        pairs = np.unique(np.sort(np.stack([groups[ones], groups[others]], axis=1), axis=1), axis=0)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        if not len(pairs):
            return
        targets = np.arange(len(groups))
        for low, high in pairs[::-1].tolist():  # backward, so that the lowest partner of a group is the last
            targets[high] = low
        while (targets[targets] != targets).any():
            targets = targets[targets]
        groups[:] = targets[groups]


def _coarse(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The coarse coefficients and the norm of the rest, [N, 81].

    Dot products of these are upper bounds of those of the whole vectors, because the dot product of the rest is at most
    the product of the norms (Cauchy-Schwarz inequality).
    """
    rest = np.linalg.norm(vectors[:, COARSE_COEFFICIENTS:], axis=1, keepdims=True)
    return np.concatenate([vectors[:, :COARSE_COEFFICIENTS], rest], axis=1)
