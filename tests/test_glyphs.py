"""Drawn glyphs, and the episodes, symmetries and jitter that they share with Omniglot."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metarl_lite.data import glyphs, omniglot
from metarl_lite.data.characters import (
    Characters,
    jitter,
    labels,
    nearest,
    sample_episodes,
    with_symmetries,
)


def numbered(num_characters: int, num_drawings: int) -> Characters:
    """Return drawings whose every pixel says which character and which drawing it is."""
    number = torch.arange(num_characters * num_drawings, dtype=torch.float32)
    images = number.reshape(num_characters, num_drawings, 1, 1).expand(-1, -1, 28, 28)
    return Characters(images, np.array(["A", "B"])[np.arange(num_characters) % 2])


def test_glyphs_have_the_functions_and_shapes_of_omniglot():
    public = {"is_available", "load", "load_runs", "NAME", "HELD_OUT", "SPLITS", "NUM_RUNS"}
    assert all(hasattr(module, name) for module in (glyphs, omniglot) for name in public)
    assert glyphs.SPLITS == omniglot.SPLITS
    characters = glyphs.load()
    assert characters.images.shape == (240, 20, 28, 28)
    assert set(glyphs.HELD_OUT) < set(characters.alphabets)
    assert glyphs.is_available()


def test_the_same_glyphs_come_every_time_and_splits_overlap_as_they_should():
    small = glyphs.load("background_small2")
    torch.testing.assert_close(small.images, glyphs.load().images[120:])
    assert not set(glyphs.ALPHABETS["background"]) & set(glyphs.ALPHABETS["evaluation"])


def test_drawings_of_a_glyph_are_alike_but_not_the_same():
    images = glyphs.draw_alphabet(np.random.default_rng(0), num_characters=8, num_drawings=6)
    flat = images.flatten(2)
    within = torch.cdist(flat, flat)  # (character, drawing, drawing)
    across = torch.cdist(flat[:, 0], flat[:, 0])
    off = ~torch.eye(6, dtype=torch.bool)
    assert within[:, off].min() > 0.5
    assert within[:, off].mean() < across[~torch.eye(8, dtype=torch.bool)].mean()
    assert images.min() >= 0
    assert images.max() <= 1


def test_glyph_runs_pair_two_drawings_of_each_character():
    support, query, answers = glyphs.load_runs()
    assert support.shape == query.shape == (20, 20, 28, 28)
    np.testing.assert_array_equal(answers.sort(dim=1).values, np.tile(np.arange(20), (20, 1)))
    found = torch.cdist(query.flatten(2), support.flatten(2)).argmin(dim=-1)
    assert (found == answers).float().mean() > 0.2  # chance is 0.05


@given(
    way=st.integers(1, 6), shots=st.integers(1, 4), queries=st.integers(1, 4), seed=st.integers(0)
)
def test_support_and_query_never_share_a_drawing(way, shots, queries, seed):
    rng = np.random.default_rng(seed)
    support, query = sample_episodes(rng, numbered(6, 8), 5, way=way, shots=shots, queries=queries)
    assert support.shape == (5, way, shots, 28, 28)
    assert query.shape == (5, way, queries, 28, 28)
    for task in torch.cat([support, query], dim=2)[..., 0, 0]:
        assert len(task.unique()) == way * (shots + queries)  # no drawing twice
        character = task // 8
        assert (character == character[:, :1]).all()  # a row is one character
        assert len(character[:, 0].unique()) == way


def test_episodes_reach_every_character_and_drawing_equally_often():
    support, query = sample_episodes(
        np.random.default_rng(0), numbered(6, 4), 3_000, way=3, shots=1, queries=1
    )
    counts = torch.stack(
        [images[..., 0, 0].long().flatten().bincount() for images in (support, query)]
    )
    expected = 3_000 * 3 / 24
    assert ((counts - expected).abs() < 5 * expected**0.5).all()


def test_holding_out_takes_whole_alphabets():
    rest, held_out = numbered(6, 2).split(["B"])
    assert set(rest.alphabets) == {"A"}
    assert set(held_out.alphabets) == {"B"}
    assert rest.images[:, 0, 0, 0].tolist() == [0, 4, 8]
    assert held_out.images[:, 0, 0, 0].tolist() == [2, 6, 10]


@pytest.mark.parametrize("held_out", [[], ["C"], ["A", "B"]])
def test_alphabets_that_cannot_be_held_out_are_refused(held_out):
    with pytest.raises(ValueError, match="held_out"):
        numbered(6, 2).split(held_out)


def test_symmetries_make_eight_different_classes_of_a_lopsided_character():
    images = torch.zeros(1, 2, 28, 28)
    images[..., 3:20, 5] = 1
    images[..., 3, 5:9] = 1
    eight = with_symmetries(Characters(images, np.array(["A"])))
    assert len(eight) == 8
    assert len({tuple(image.flatten().tolist()) for image in eight.images[:, 0]}) == 8
    assert (eight.images.sum(dim=(2, 3)) == images.sum() / 2).all()
    assert len(with_symmetries(Characters(images, np.array(["A"])), mirrors=False)) == 4


def test_jitter_moves_the_ink_within_its_limits():
    images = torch.zeros(500, 28, 28)
    images[:, 13:15, 13:15] = 1  # the middle
    moved = jitter(np.random.default_rng(0), images, turn=0.0, scale=0.0, shift=3.0)
    place = torch.arange(28) - 13.5
    centre = torch.stack([(moved.sum(dim=axis) * place).sum(dim=1) for axis in (1, 2)]) / 4
    assert centre.abs().max() < 3.01
    assert centre.std() == pytest.approx(3 / 3**0.5, rel=0.05)
    still = jitter(np.random.default_rng(0), images, turn=0.0, scale=0.0, shift=0.0)
    torch.testing.assert_close(still, images)


def test_jitter_turns_by_as_much_as_it_says():
    images = torch.zeros(1, 400, 28, 28)
    images[..., 13:15, 4:24] = 1  # a bar
    turned = jitter(np.random.default_rng(0), images, turn=0.3, scale=0.0, shift=0.0)[0]
    place = torch.arange(28) - 13.5
    weight = turned.sum(dim=(1, 2))
    xy = (turned * place[:, None] * place).sum(dim=(1, 2)) / weight
    xx = (turned * place**2).sum(dim=(1, 2)) / weight
    slope = (xy / xx).abs()
    assert 0.2 < slope.max() < 0.32


def test_the_nearest_mean_is_found_among_classes_in_their_places():
    support = torch.tensor([[[[0.0], [2.0]], [[5.0], [5.0]]]])  # means 1 and 5
    query = torch.tensor([[[[2.9], [3.1]], [[9.0], [-9.0]]]])
    assert nearest(support, query).tolist() == [[[0, 1], [1, 0]]]


def test_labels_are_places_in_the_episode():
    assert labels(torch.zeros(3, 2, 28, 28)).tolist() == [0, 0, 1, 1, 2, 2]
