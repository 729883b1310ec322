import gymnasium as gym
import numpy as np
import pytest

from metarl_lite.envs.gridnav import FAMILY, GridNav, as_mdps, make_vector, sample_goals


def test_goals_are_the_21_cells_away_from_the_start_and_equally_likely():
    goals = sample_goals(np.random.default_rng(0), 21_000)
    cells, counts = np.unique(goals, axis=0, return_counts=True)
    assert len(cells) == 21
    assert not (cells <= 1).all(axis=1).any()
    # 1,000 expected a cell; five standard deviations of a binomial count are 154
    assert abs(counts - 1_000).max() < 5 * (21_000 / 21 * 20 / 21) ** 0.5


def test_rewards_of_a_walk_by_hand():
    env = GridNav(np.array([[0, 2], [4, 4]]))
    obs, infos = env.reset(seed=0)
    assert obs.tolist() == [[0, 0], [0, 0]]
    assert infos == {}
    rewards = []
    for move in (2, 2, 0, 4, 1):  # right, right, stay, left, up into the edge
        obs, reward, terminated, truncated, _ = env.step(np.array([move, 3]))
        rewards.append(reward.tolist())
        assert not terminated.any()
        assert not truncated.any()
    assert rewards == [[-0.1, -0.1], [1, -0.1], [1, -0.1], [-0.1, -0.1], [-0.1, -0.1]]
    assert obs.tolist() == [[0, 1], [4, 0]]  # the second ran into the lower edge


def test_the_best_known_goal_return_is_the_published_arithmetic():
    """A goal d moves away yields (15 - d + 1) - 0.1 (d - 1); the mean over goals is 11.07."""
    cells = [(r, c) for r in range(5) for c in range(5) if max(r, c) > 1]
    env = GridNav(np.array(cells))
    obs, _ = env.reset()
    total = np.zeros(21)
    for _ in range(15):
        down, right = obs[:, 0] < env.goals[:, 0], obs[:, 1] < env.goals[:, 1]
        obs, reward, *_ = env.step(np.where(down, 3, np.where(right, 2, 0)))
        total += reward
    np.testing.assert_allclose(total, [16 - 1.1 * sum(cell) + 0.1 for cell in cells])
    assert total.mean() == pytest.approx(11.07, abs=0.005)


def test_all_truncate_at_the_horizon_and_then_need_a_reset():
    env = GridNav(np.array([[2, 2]] * 3), horizon=4)
    env.reset()
    truncations = [env.step(np.zeros(3, dtype=int))[3].tolist() for _ in range(4)]
    assert truncations == [[False] * 3] * 3 + [[True] * 3]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(3, dtype=int))
    assert env.reset()[0].tolist() == [[0, 0]] * 3


def test_the_task_is_fixed_at_construction():
    goals = np.array([[3, 3]])
    env = GridNav(goals)
    goals[:] = 0
    assert env.goals.tolist() == [[3, 3]]


@pytest.mark.parametrize(
    ("goals", "keywords", "message"),
    [
        ([[5, 0]], {}, r"goals outside the 5x5 grid: \[\[5, 0\]\]"),
        ([[0, -1]], {}, "goals outside"),
        ([[1.0, 2.0]], {}, r"\(N, 2\) integers, got float64"),
        ([1, 2], {}, r"\(N, 2\) integers, got int64 of shape \(2,\)"),
        (np.zeros((0, 2), dtype=int), {}, r"\(N, 2\) integers"),
        ([[1, 2]], {"horizon": 0}, "horizon must be a whole number of at least 1"),
        ([[1, 2]], {"size": 2}, "size must be at least 3"),
    ],
)
def test_bad_input_is_named(goals, keywords, message):
    with pytest.raises(ValueError, match=message):
        GridNav(np.array(goals), **keywords)


def test_sampler_names_bad_input():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="num_tasks must be a whole number of at least 1, got 0"):
        sample_goals(rng, 0)
    with pytest.raises(ValueError, match="size must be at least 3"):
        sample_goals(rng, 1, size=2)


def test_bad_actions_are_named():
    env = GridNav(np.array([[2, 2]]))
    env.reset()
    with pytest.raises(ValueError, match="actions must lie in"):
        env.step(np.array([5]))


def test_family_makes_one_environment_per_task():
    env = FAMILY.make_env(FAMILY.sample_tasks(np.random.default_rng(0), 6))
    assert env.num_envs == 6
    np.testing.assert_array_equal(make_vector(6, seed=0).goals, env.goals)


def test_the_tables_say_what_the_world_does():
    goals, rng = np.array([[2, 3], [4, 0]]), np.random.default_rng(0)
    env, mdps = GridNav(goals), as_mdps(goals)
    cells, _ = env.reset()
    for _ in range(15):
        state, actions = cells @ [5, 1], rng.integers(5, size=2)
        cells, rewards, *_ = env.step(actions)
        for i, mdp in enumerate(mdps):
            assert mdp.P[state[i], actions[i]].argmax() == cells[i] @ [5, 1]
            assert mdp.R[state[i], actions[i]] == rewards[i]
    assert all((mdp.P.max(axis=2) == 1).all() and (mdp.start == 1 / 25).all() for mdp in mdps)
