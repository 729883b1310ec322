"""Characters of invented alphabets, drawn from random strokes: a stand-in where Omniglot is not.

A character is a few curved strokes between points of a coarse grid, an alphabet a habit of making
them: how many, how much bent. Every drawing repeats a character's strokes with another hand. The
functions are those of `metarl_lite.data.omniglot`, and so are the shapes of what they return.
"""

import numpy as np
import torch
from torch import Tensor

from metarl_lite.checks import check_count
from metarl_lite.data.characters import SIZE, Characters

NAME = "drawn glyphs"
HELD_OUT = ("glyphs 06", "glyphs 07")
ALPHABETS = {  # as many as in Omniglot's splits; the small ones are the first of the background
    "background_small1": range(4),
    "background_small2": range(4, 8),
    "background": range(30),
    "evaluation": range(30, 50),
}
SPLITS = tuple(ALPHABETS)
CHARACTERS_AN_ALPHABET, NUM_DRAWINGS, NUM_RUNS = 30, 20, 20
WIDTH = 0.7  # of a stroke, from its middle to where half of the ink is gone, in pixels


def is_available() -> bool:
    """Return True: the glyphs are computed, not fetched."""
    return True


def load(*splits: str) -> Characters:
    """Return the characters of `splits`, each of SPLITS; without any, of both small sets.

    The same ones every time. Raises ValueError for a split that does not exist.
    """
    for split in splits:
        if split not in ALPHABETS:
            raise ValueError(f"splits are {', '.join(SPLITS)}; got {split!r}")
    numbers = sorted({number for split in splits or SPLITS[:2] for number in ALPHABETS[split]})
    drawings = [draw_alphabet(np.random.default_rng([9, number])) for number in numbers]
    names = [f"glyphs {number:02d}" for number in numbers]
    return Characters(torch.cat(drawings), np.repeat(names, CHARACTERS_AN_ALPHABET))


def load_runs() -> tuple[Tensor, Tensor, Tensor]:
    """Return one-shot runs as Lake's are: support, query (run, 20, 28, 28), answers (run, 20).

    Each of the 20 runs takes 20 characters of one of ten alphabets of the evaluation set, two
    drawings of each, and shuffles the second ones.
    """
    rng = np.random.default_rng(9)
    runs = []
    for run in range(NUM_RUNS):
        number = ALPHABETS["evaluation"][run // 2]
        drawings = draw_alphabet(np.random.default_rng([9, number]))
        chosen, answers = rng.permutation(len(drawings))[:20], rng.permutation(20)
        first, second = rng.permutation(NUM_DRAWINGS)[:2]
        runs.append(
            (drawings[chosen, first], drawings[chosen[answers], second], torch.tensor(answers))
        )
    support, query, answers = zip(*runs, strict=True)
    return torch.stack(support), torch.stack(query), torch.stack(answers)


def draw_alphabet(
    rng: np.random.Generator,
    *,
    num_characters: int = CHARACTERS_AN_ALPHABET,
    num_drawings: int = NUM_DRAWINGS,
) -> Tensor:
    """Draw an alphabet, (character, drawing, 28, 28) in [0, 1] with ink 1.

    A stroke is a quadratic Bezier curve: two ends on a 4 x 4 grid and a point that bends it.
    """
    check_count("num_characters", num_characters)
    check_count("num_drawings", num_drawings)
    bend = rng.uniform(0.1, 0.8)  # the habit of this alphabet
    most_strokes = rng.integers(3, 5)
    characters = []
    for _ in range(num_characters):
        ends = _grid_points(rng, rng.integers(2, most_strokes + 1))  # (stroke, 2, 2)
        middle = ends.mean(axis=1) + bend * rng.normal(0, 0.6, (len(ends), 2))
        character = np.stack([ends[:, 0], middle, ends[:, 1]], axis=1)  # (stroke, point, xy)
        characters.append(_render(_by_other_hands(rng, character, num_drawings)))
    return torch.stack(characters)


def _grid_points(rng: np.random.Generator, num_strokes: int) -> np.ndarray:
    """Draw both ends (stroke, 2, 2) of strokes in [-0.75, 0.75]; many begin where one ended."""
    ends = rng.integers(4, size=(num_strokes, 2, 2)) / 2 - 0.75
    for i in range(1, num_strokes):
        if rng.random() < 0.6:
            ends[i, 0] = ends[rng.integers(i), rng.integers(2)]
    short = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) < 0.6
    ends[short, 1] = -np.sign(ends[short, 0]) * 0.5  # a dot becomes a line across the middle
    return ends


def _by_other_hands(rng: np.random.Generator, character: np.ndarray, count: int) -> np.ndarray:
    """Draw (count, stroke, point, 2): the strokes with shaky points, turned, slanted, stretched."""
    points = character + rng.normal(0, 0.12, (count, *character.shape))
    turn, slant = rng.normal(0, 0.2, (2, count))
    wide = 1 + rng.normal(0, 0.2, count)
    matrix = np.array([[wide * np.cos(turn), slant - np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.einsum("ijn,nspj->nspi", matrix, points)
    low, high = points.min(axis=(1, 2), keepdims=True), points.max(axis=(1, 2), keepdims=True)
    largest = (high - low).max(axis=-1, keepdims=True)
    return (points - (low + high) / 2) * 1.6 / largest  # centred, as large as fits


def _render(points: np.ndarray) -> Tensor:
    """Return images (drawing, 28, 28) of Bezier curves (drawing, stroke, 3, 2) in [-1, 1]."""
    t = np.linspace(0, 1, 40)[:, None]
    weights = np.concatenate([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    curves = np.einsum("tp,nspj->nstj", weights, points)
    curves = torch.from_numpy(curves.reshape(len(points), -1, 2)).float()
    centres = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
    pixels = torch.cartesian_prod(centres, centres).flip(1).expand(len(points), -1, 2)
    distance = torch.cdist(pixels, curves).amin(dim=2) * SIZE / 2  # in pixels
    return torch.sigmoid(4 * (WIDTH - distance)).unflatten(1, (SIZE, SIZE))
