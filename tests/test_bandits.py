import gymnasium as gym
import numpy as np
import pytest

from metarl_lite.envs.bandits import (
    FAMILY,
    GAUSSIAN_FAMILY,
    BernoulliBandits,
    GaussianBandits,
    make_gaussian_vector,
    make_vector,
    sample_means,
    sample_tasks,
)


def test_probabilities_are_uniform_and_means_standard_normal():
    draws = sample_tasks(np.random.default_rng(0), 20_000, num_arms=2)
    assert draws.shape == (20_000, 2)
    # five standard errors of the mean (1 / sqrt 12) and of the second moment (2 / sqrt 45)
    assert abs(draws.mean() - 1 / 2) < 5 * 0.2887 / 200
    assert abs((draws**2).mean() - 1 / 3) < 5 * 0.2981 / 200
    means = sample_means(np.random.default_rng(0), 20_000, num_arms=2)
    assert abs(means.mean()) < 5 / 200
    assert abs(means.std() - 1) < 5 * 0.7071 / 200


def test_each_row_pays_by_its_own_arm():
    env = BernoulliBandits([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], horizon=3)
    env.reset(seed=0)
    assert env.step(np.array([0, 0, 0]))[1].tolist() == [0, 1, 1]
    assert env.step(np.array([1, 1, 1]))[1].tolist() == [1, 0, 1]
    exact = GaussianBandits([[5.0, -1.0], [2.0, 3.0]], std=0.0)
    exact.reset()
    assert exact.step(np.array([1, 0]))[1].tolist() == [-1, 2]


def test_rewards_have_the_mean_and_spread_that_the_arm_has():
    env = BernoulliBandits(np.full((40_000, 1), 0.3))
    env.reset(seed=0)
    rewards = env.step(np.zeros(40_000, dtype=int))[1]
    assert set(rewards) == {0.0, 1.0}
    assert abs(rewards.mean() - 0.3) < 5 * 0.21**0.5 / 200
    env = GaussianBandits(np.full((40_000, 1), 0.3), std=2.0)
    env.reset(seed=0)
    rewards = env.step(np.zeros(40_000, dtype=int))[1]
    assert abs(rewards.mean() - 0.3) < 5 * 2 / 200
    assert abs(rewards.std() - 2) < 5 * 2 * 0.7071 / 200


@pytest.mark.parametrize("make", [make_vector, make_gaussian_vector])
def test_an_episode_has_horizon_pulls_and_nothing_to_see(make):
    env = make(4, seed=1, horizon=3)
    obs, infos = env.reset(seed=0)
    assert obs.tolist() == [0] * 4
    assert infos == {}
    for t in range(1, 4):
        obs, rewards, terminated, truncated, _ = env.step(np.array([0, 1, 2, 3]))
        assert obs.tolist() == [0] * 4
        assert rewards.dtype == np.float64
        assert not terminated.any()
        assert truncated.tolist() == [t == 3] * 4
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(4, dtype=int))


def test_a_seed_repeats_the_rewards_and_a_reset_keeps_the_arms():
    env = make_gaussian_vector(5, seed=2)
    means, actions = env.means.copy(), np.zeros(5, dtype=int)
    env.reset(seed=7)
    first = env.step(actions)[1]
    second = env.step(actions)[1]
    env.reset(seed=7)
    np.testing.assert_array_equal(env.step(actions)[1], first)
    assert (first != second).all()
    np.testing.assert_array_equal(env.means, means)


def test_the_task_is_fixed_at_construction():
    probabilities = np.array([[0.1, 0.9]])
    env = BernoulliBandits(probabilities)
    probabilities[:] = 0
    assert env.means.tolist() == [[0.1, 0.9]]


def test_families_make_one_environment_per_task():
    for family, make in ((FAMILY, make_vector), (GAUSSIAN_FAMILY, make_gaussian_vector)):
        env = family.make_env(family.sample_tasks(np.random.default_rng(0), 6))
        np.testing.assert_array_equal(make(6, seed=0).means, env.means)
