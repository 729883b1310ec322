"""Characters of many alphabets, and the few-shot episodes that are drawn from them.

An N-way K-shot episode takes N characters and, of each, K drawings as support and others as query.
Its classes are numbered by their place: axes (task, way, shot, row, column).
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metarl_lite.checks import check_count, real_array

SIZE = 28  # pixels a side, as in nearly all work on Omniglot


@dataclass(frozen=True, eq=False)
class Characters:
    """Drawings of C characters: `images` (C, drawing, 28, 28) in [0, 1], where ink is 1.

    `alphabets` (C,) names each character's alphabet. Raises ValueError for any other shape.
    """

    images: Tensor
    alphabets: np.ndarray

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[2:] != (SIZE, SIZE):
            raise ValueError(f"images must be (C, drawing, 28, 28), got {tuple(self.images.shape)}")
        if np.shape(self.alphabets) != (len(self.images),):
            raise ValueError(
                f"alphabets must name one for each of {len(self.images)} characters, "
                f"got shape {np.shape(self.alphabets)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def split(self, held_out: Collection[str]) -> tuple["Characters", "Characters"]:
        """Return (rest, held out): whole alphabets go to one side, so none is on both."""
        known = set(self.alphabets.tolist())
        if not set(held_out) < known or not held_out:
            raise ValueError(f"held_out must be some of {sorted(known)}, got {held_out}")
        out = np.isin(self.alphabets, list(held_out))
        return tuple(
            Characters(self.images[torch.from_numpy(side)], self.alphabets[side])
            for side in (~out, out)
        )


def with_symmetries(characters: Characters, *, mirrors: bool = True) -> Characters:
    """Return characters with each one turned by 0, 90, 180, 270 degrees, and mirrored too.

    Each counts as a new character: 4 classes from one (Santoro et al. 2016), with `mirrors` 8.
    """
    images = [characters.images.rot90(turns, (2, 3)) for turns in range(4)]
    if mirrors:
        images += [turned.flip(3) for turned in images]
    return Characters(torch.cat(images), np.tile(characters.alphabets, len(images)))


def sample_episodes(
    rng: np.random.Generator,
    characters: Characters,
    num_tasks: int,
    *,
    way: int = 5,
    shots: int = 1,
    queries: int = 1,
) -> tuple[Tensor, Tensor]:
    """Draw support (task, way, shots, 28, 28) and query (task, way, queries, 28, 28).

    The characters of a task differ, and no drawing is in both.
    """
    for name, count in (("num_tasks", num_tasks), ("way", way), ("shots", shots)):
        check_count(name, count)
    check_count("queries", queries)
    num_characters, num_drawings = characters.images.shape[:2]
    if way > num_characters:
        raise ValueError(f"way is at most the {num_characters} characters, got {way}")
    if shots + queries > num_drawings:
        raise ValueError(
            f"shots and queries share {num_drawings} drawings, got {shots} + {queries}"
        )
    which = _distinct(rng, num_characters, way, num_tasks)  # (task, way)
    drawing = _distinct(rng, num_drawings, shots + queries, num_tasks * way)
    drawing = drawing.reshape(num_tasks, way, shots + queries)
    images = characters.images[which[:, :, None], drawing]
    return images[:, :, :shots], images[:, :, shots:]


def jitter(
    rng: np.random.Generator,
    images: Tensor,
    *,
    turn: float = 0.15,
    scale: float = 0.15,
    shift: float = 1.5,
) -> Tensor:
    """Return images (..., 28, 28), each drawn anew by a somewhat different hand.

    Every image is turned and slanted by up to `turn` radians, stretched by up to a factor
    1 +- `scale` along each axis, and moved by up to `shift` pixels, all uniformly.
    """
    for name, most in (("turn", turn), ("scale", scale), ("shift", shift)):
        if real_array(name, most).shape != () or most < 0:
            raise ValueError(f"{name} must be one number of at least 0, got {most}")
    flat = images.reshape(-1, 1, SIZE, SIZE)
    n = len(flat)
    angle, slant = rng.uniform(-turn, turn, (2, n))
    stretch = 1 + rng.uniform(-scale, scale, (2, n))
    moved = rng.uniform(-shift, shift, (2, n)) * 2 / SIZE  # the picture's sides are at -1 and 1
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [
        [stretch[0] * cos, stretch[0] * (slant * cos - sin), moved[0]],
        [stretch[1] * sin, stretch[1] * (slant * sin + cos), moved[1]],
    ]
    matrix = torch.from_numpy(np.array(rows).transpose(2, 0, 1)).to(flat.dtype)
    grid = functional.affine_grid(matrix, list(flat.shape), align_corners=False)
    return functional.grid_sample(flat, grid, align_corners=False).reshape(images.shape)


def labels(images: Tensor) -> Tensor:
    """Return the classes (way * shot,) of images (way, shot, ...): their places in the episode."""
    way, shots = images.shape[:2]
    return torch.arange(way, device=images.device).repeat_interleave(shots)


def nearest(support: Tensor, query: Tensor) -> Tensor:
    """Return the classes (task, way, query) whose mean support point lies nearest.

    Both are (task, way, shot, ...): pixels, or features of a network.
    """
    means = support.flatten(3).mean(dim=2)  # (task, way, feature)
    return (
        torch.cdist(query.flatten(3).flatten(1, 2), means)
        .argmin(dim=-1)
        .unflatten(1, query.shape[1:3])
    )


def _distinct(rng: np.random.Generator, among: int, count: int, rows: int) -> np.ndarray:
    """Return (rows, count) whole numbers below `among`, no two alike in a row."""
    return rng.random((rows, among)).argsort(axis=1)[:, :count]
