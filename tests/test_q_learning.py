from dataclasses import replace

import numpy as np
import pytest

from metarl_lite.algorithms.q_learning import QLearningConfig, q_learning
from metarl_lite.envs.gridworld import gridworld
from metarl_lite.envs.mdp import MDP
from metarl_lite.envs.tabular import TabularEnv
from metarl_lite.oracles import planning


def test_a_deterministic_grid_is_learned_exactly_at_step_size_one():
    world = gridworld("S..\n.#P\n..G", gamma=0.9, step_reward=-0.1)
    exact = planning.policy_iteration(world.mdp).q
    config = QLearningConfig(num_steps=3_000, gamma=0.9, epsilon=1.0, step_size=1.0)
    result = q_learning(TabularEnv([world.mdp] * 10), config, seed=0)
    np.testing.assert_allclose(result.q, np.broadcast_to(exact, result.q.shape), atol=1e-9)


def test_a_slippery_grid_is_learned_to_within_a_few_hundredths():
    world = gridworld("S..\n.#P\n..G", gamma=0.8, slip=0.2, step_reward=-0.1)
    mdp = replace(world.mdp, start=None)
    exact = planning.policy_iteration(mdp).q
    config = QLearningConfig(num_steps=10_000, gamma=0.8, epsilon=1.0, omega=0.8)
    errors = abs(q_learning(TabularEnv([mdp] * 20), config, seed=0).q_history - exact)
    assert errors[-1].max(axis=(1, 2)).mean() < 0.08  # measured 0.05 over 20 learners
    assert errors[-1].mean() < 0.4 * errors[9].mean()


def test_three_updates_by_hand():
    """One action, s -> s + 1, reward 1; state 2 ends. Step size 1/2, gamma 1/2."""
    P = np.zeros((3, 1, 3))
    P[[0, 1, 2], 0, [1, 2, 2]] = 1
    env = TabularEnv([MDP(P, [[1], [1], [0]], 0.5, start=[1, 0, 0])])
    config = QLearningConfig(num_steps=3, gamma=0.5, step_size=0.5, record_every=1)
    history = q_learning(env, config, seed=0).q_history[:, 0, :, 0]
    np.testing.assert_allclose(history, [[0.5, 0, 0], [0.5, 0.5, 0], [0.875, 0.5, 0]])


def test_truncation_bootstraps_and_termination_does_not():
    """A machine that pays 1 for ever is worth 2 at gamma 1/2, however short the episodes are."""
    env = TabularEnv([MDP([[[1.0]]], [[1.0]], 0.5)], horizon=1)
    config = QLearningConfig(num_steps=200, gamma=0.5, step_size=0.5)
    assert q_learning(env, config, seed=0).q[0, 0, 0] == pytest.approx(2.0)
    ends = MDP([[[0.0, 1.0]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.5)
    assert q_learning(TabularEnv([ends]), config, seed=0).q[0, 0, 0] == pytest.approx(1.0)


def test_a_truncated_step_bootstraps_from_its_own_next_state_not_from_the_next_start():
    """0 -> 1 pays 0, 1 -> 1 pays 1 for ever: values (1, 2) at gamma 1/2; episodes start in 0."""
    mdp = MDP([[[0.0, 1.0]], [[0.0, 1.0]]], [[0.0], [1.0]], 0.5, start=[1.0, 0.0])
    config = QLearningConfig(num_steps=400, gamma=0.5, step_size=0.5)
    q = q_learning(TabularEnv([mdp], horizon=2), config, seed=0).q[0, :, 0]
    np.testing.assert_allclose(q, [1, 2])


def test_visit_counts_give_the_mean_of_the_rewards_at_omega_one():
    ends = MDP([[[0.0, 1.0]], [[0.0, 1.0]]], [[1.0], [0.0]], 0.5)
    env = TabularEnv([ends] * 50, reward_noise=1.0)
    result = q_learning(env, QLearningConfig(num_steps=400, omega=1.0, record_every=400), seed=0)
    np.testing.assert_allclose(result.q[:, 0, 0], result.rewards[0])  # the sample mean itself
    assert abs(result.q[:, 0, 0].mean() - 1) < 4 / (50 * 400) ** 0.5


def test_seeds_are_an_axis_and_a_run_is_reproducible():
    env = TabularEnv([gridworld("S..\n...\n..G", slip=0.3).mdp] * 3)
    config = QLearningConfig(num_steps=250, record_every=100)
    first, again = q_learning(env, config, seed=7), q_learning(env, config, seed=7)
    np.testing.assert_array_equal(first.q, again.q)
    assert first.q.shape == (3, 9, 4)
    assert first.steps.tolist() == [100, 200]
    assert first.q_history.shape == (2, 3, 9, 4)
    assert first.rewards.shape == (2, 3)
    assert not np.array_equal(q_learning(env, config, seed=8).q, first.q)


def test_optimistic_initial_values_make_a_greedy_learner_try_every_action():
    world = gridworld("S..\n...\n..G", gamma=0.9)
    visited = {}
    for initial_value in (0.0, 2.0):
        config = QLearningConfig(
            num_steps=500, gamma=0.9, epsilon=0.0, step_size=1.0, initial_value=initial_value
        )
        q = q_learning(TabularEnv([world.mdp] * 5), config, seed=0).q[:, :8]
        visited[initial_value] = (q != initial_value).mean()
    assert visited[2.0] == 1.0
    assert visited[0.0] < 0.8


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_steps", 0, "must be a whole number of at least 1, got 0"),
        ("num_steps", 1.5, "must be a whole number of at least 1, got 1.5"),
        ("gamma", 1.5, "is out of its range: 1.5"),
        ("gamma", "0.9", "must hold real numbers"),
        ("epsilon", -0.1, "is out of its range: -0.1"),
        ("epsilon", np.nan, "must be finite"),
        ("step_size", 0.0, "is out of its range: 0.0"),
        ("omega", 0.5, "is out of its range: 0.5"),
        ("initial_value", np.inf, "must be finite"),
        ("record_every", 0, "must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_configuration_is_named(field, value, message):
    with pytest.raises(ValueError, match=f"{field} {message}"):
        QLearningConfig(**{field: value})
