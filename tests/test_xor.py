import numpy as np
import pytest

from metarl_lite.data import xor


def test_the_sixteen_tables_are_all_different_and_two_of_them_are_xor_and_its_negation():
    np.testing.assert_array_equal(xor.TABLES @ [8, 4, 2, 1], np.arange(16))  # in binary
    first, second = xor.CORNERS.T
    np.testing.assert_array_equal(xor.TABLES[xor.XOR], first ^ second)
    np.testing.assert_array_equal(xor.TABLES[xor.XNOR], 1 - (first ^ second))
    assert set(xor.OTHERS) == set(range(16)) - {xor.XOR, xor.XNOR}


def test_exactly_xor_and_its_negation_are_not_separable_by_a_line():
    signs = 2 * xor.CORNERS - 1
    grid = np.array(np.meshgrid(*[np.arange(-3, 4)] * 3)).reshape(3, -1).T  # w1, w2, b
    outputs = grid[:, :2] @ signs.T + grid[:, 2:] > 0
    separable = {tuple(row) for row in outputs[(grid[:, :2] @ signs.T + grid[:, 2:] != 0).all(1)]}
    missing = [i for i in range(16) if tuple(xor.TABLES[i] == 1) not in separable]
    assert missing == [xor.XOR, xor.XNOR]


def test_without_noise_points_are_corners_with_their_labels():
    tables = xor.TABLES[[xor.XOR, 8]]
    data = xor.sample_points(np.random.default_rng(0), tables, 8, noise=0.0).numpy()
    assert data.shape == (2, 8, 3)
    for table, points in zip(tables, data, strict=True):
        corner = ((points[:, :2] + 1) / 2).astype(int)
        assert sorted(2 * corner[:, 0] + corner[:, 1]) == [0, 0, 1, 1, 2, 2, 3, 3]
        np.testing.assert_array_equal(points[:, 2], 2 * table[2 * corner[:, 0] + corner[:, 1]] - 1)


def test_noise_is_normal_of_the_given_size_and_corners_come_in_random_order():
    data = xor.sample_points(np.random.default_rng(0), xor.TABLES[[0] * 5000], 4, noise=0.3).numpy()
    off = data[..., :2] - np.sign(data[..., :2])
    assert off.std() == pytest.approx(0.3, rel=0.02)
    first = np.sign(data[:, 0, :2])
    assert abs(first.mean(axis=0)).max() < 5 / 5000**0.5


def test_tasks_are_drawn_evenly_from_the_functions_given():
    tables = xor.sample_tasks(np.random.default_rng(1), 14_000)
    index = tables @ [8, 4, 2, 1]
    counts = np.bincount(index, minlength=16)
    assert counts[[xor.XOR, xor.XNOR]].sum() == 0
    assert abs(counts[xor.OTHERS] - 1000).max() < 5 * 1000**0.5
    only = xor.sample_tasks(np.random.default_rng(1), 9, functions=[xor.XOR])
    assert (only == xor.TABLES[xor.XOR]).all()
