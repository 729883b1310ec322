import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarl_lite.envs.mdp import MDP, sample_tasks
from metarl_lite.envs.tabular import FAMILY, TabularEnv

# two states; action 0 stays, action 1 goes to state 1, which is terminal
P = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
R = np.array([[0.0, 1.0], [0.0, 0.0]])


def test_arrays_are_copied_and_read_only():
    p = P.copy()
    mdp = MDP(p, R, 0.9)
    p[0, 0] = 7
    assert mdp.P[0, 0].tolist() == [1, 0]
    with pytest.raises(ValueError, match="read-only"):
        mdp.P[0, 0, 0] = 7


def test_integer_arrays_become_float64():
    mdp = MDP(P.astype(int), R.astype(int), 0)
    assert mdp.P.dtype == mdp.R.dtype == np.float64
    assert isinstance(mdp.gamma, float)


def test_terminal_means_absorbing_under_every_action_with_reward_zero():
    assert MDP(P, R, 0.9).terminal.tolist() == [False, True]
    assert MDP(P, R + np.diag([0, 1]), 0.9).terminal.tolist() == [False, False]


def test_start_is_uniform_over_the_states_that_are_not_terminal():
    assert MDP(P, R, 0.9).start.tolist() == [1, 0]
    assert MDP(P, R, 0.9, start=[0.5, 0.5]).start.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": P * 0.5}, r"row of state 0 and action 0, must sum to 1, got 0\.5"),
        ({"P": np.stack([P[0], P[1] * [[1], [1.25]]])}, r"P\[1, 1\].* got 1\.25"),
        ({"P": P[:, :, :1]}, r"\(S, A, S\).*got \(2, 2, 1\)"),
        ({"P": P[0]}, r"\(S, A, S\).*got \(2, 2\)"),
        ({"P": P + np.array([0.5, -0.5])}, r"P\[0, 0, 1\] = -0\.5 is negative"),
        ({"P": P * np.nan}, r"P must be finite, got nan at index \(0, 0, 0\)"),
        ({"P": P.astype(complex)}, r"P must hold real numbers, got dtype complex128"),
        ({"P": P.astype(str)}, r"P must hold real numbers"),
        ({"P": [[[1.0], [1.0, 0.0]]]}, r"P must be a rectangular array"),
        ({"R": R[:, :1]}, r"\(S, A\) = \(2, 2\), got \(2, 1\)"),
        ({"R": np.array([[0, np.inf], [0, 0]])}, r"R must be finite, got inf at index \(0, 1\)"),
        ({"R": R > 0}, r"R must hold real numbers, got dtype bool"),
        ({"gamma": 1.01}, r"gamma must be one number in \[0, 1\], got 1\.01"),
        ({"gamma": -0.1}, r"gamma must be .* got -0\.1"),
        ({"gamma": np.nan}, r"gamma must be finite"),
        ({"gamma": "0.9"}, r"gamma must hold real numbers"),
        ({"gamma": [0.9, 0.9]}, r"gamma must be one number"),
        ({"gamma": 1}, r"gamma is 1, but from state 0 an episode need not end"),
        ({"start": [1.0]}, r"start must have shape .*got \(1,\)"),
        ({"start": [0.5, 0.4]}, r"start must be a distribution .*\[0\.5, 0\.4\]"),
        ({"start": [1.5, -0.5]}, r"start must be a distribution"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        MDP(**{"P": P, "R": R, "gamma": 0.9, **change})


def test_gamma_one_is_allowed_where_every_policy_ends():
    leave = P.copy()
    leave[0, 0] = [0.5, 0.5]
    assert MDP(leave, R, 1).gamma == 1.0


def test_gamma_one_is_refused_for_a_loop_of_two_states_that_a_policy_can_choose():
    # 0 -> 1 or end; 1 -> 0 or end; 2 is the end, 3 leads there always
    p = np.zeros((4, 2, 4))
    p[[0, 1, 2, 3], 0, [1, 0, 2, 2]] = 1
    p[:, 1, 2] = 1
    r = np.ones((4, 2)) * [[1], [1], [0], [1]]
    with pytest.raises(ValueError, match=r"stays for ever among the states \[0, 1\]"):
        MDP(p, r, 1.0)


@given(seed=st.integers(0, 10**6), states=st.integers(1, 6), actions=st.integers(1, 4))
def test_random_tasks_are_valid_and_reproducible(seed, states, actions):
    draw = lambda: sample_tasks(  # noqa: E731
        np.random.default_rng(seed), 2, num_states=states, num_actions=actions
    )
    for first, again in zip(draw(), draw(), strict=True):
        assert first.P.shape == (states, actions, states)
        assert first.start.tolist() == np.eye(states)[0].tolist()
        np.testing.assert_array_equal(first.P, again.P)


def test_random_tasks_have_the_stated_moments():
    tasks = sample_tasks(np.random.default_rng(0), 200)
    rewards = np.stack([task.R for task in tasks])
    # 10,000 draws of N(1, 1): four standard errors of the mean are 0.04
    assert abs(rewards.mean() - 1) < 0.04
    assert abs(rewards.std() - 1) < 0.04
    # Dirichlet(1) over 10 states: variance 9 / 1100; 100,000 dependent draws, standard error < 5e-5
    assert abs(np.var([task.P for task in tasks]) - 9 / 1100) < 2e-4


@pytest.mark.parametrize("num_tasks", [0, -1, 1.5, True])
def test_random_tasks_refuse_a_bad_count(num_tasks):
    with pytest.raises(ValueError, match="num_tasks must be a whole number of at least 1"):
        sample_tasks(np.random.default_rng(0), num_tasks)


def noisy_corridor():
    """Four states in a row, 3 terminal; the action is the direction, and fails one time in four."""
    p = np.zeros((4, 2, 4))
    for state in range(3):
        p[state, 0] += 0.75 * np.eye(4)[max(state - 1, 0)] + 0.25 * np.eye(4)[state]
        p[state, 1] += 0.75 * np.eye(4)[state + 1] + 0.25 * np.eye(4)[state]
    p[3, :, 3] = 1
    return MDP(p, np.array([[-1.0, -1]] * 3 + [[0, 0]]), 0.9, start=[0.5, 0.5, 0, 0])


def test_steps_follow_transition_probabilities():
    num_envs = 20_000
    env = TabularEnv([noisy_corridor()] * num_envs)
    first, _ = env.reset(seed=1)
    second, rewards, terminated, truncated, _ = env.step(np.ones(num_envs, dtype=int))
    assert abs(first.mean() - 0.5) < 4 * 0.5 / num_envs**0.5
    moved = (second == first + 1).mean()
    assert abs(moved - 0.75) < 4 * (0.75 * 0.25 / num_envs) ** 0.5
    assert (rewards == -1).all()
    assert not terminated.any()
    assert not truncated.any()


def test_episodes_end_at_terminal_states_or_at_the_horizon_and_restart_in_the_same_step():
    env = TabularEnv([noisy_corridor()] * 500, horizon=6)
    env.reset(seed=3)
    age = np.zeros(500, dtype=int)
    for _ in range(40):
        obs, _, terminated, truncated, infos = env.step(np.ones(500, dtype=int))
        age += 1
        ended = terminated | truncated
        np.testing.assert_array_equal(terminated, infos["final_obs"] == 3)
        np.testing.assert_array_equal(truncated, (age == 6) & ~terminated)
        np.testing.assert_array_equal(infos["_final_obs"], ended)
        assert (obs[ended] <= 1).all()
        np.testing.assert_array_equal(obs[~ended], infos["final_obs"][~ended])
        age[ended] = 0


class Columns:
    """A generator whose copy `i` sees column `columns[i]`, however many copies there are."""

    def __init__(self, numbers, columns):
        self.numbers, self.columns, self.used = numbers, columns, 0

    def random(self, size):
        rows = 1 if np.ndim(size) == 0 else size[0]
        drawn = self.numbers[self.used : self.used + rows, self.columns]
        self.used += rows
        return drawn[0] if np.ndim(size) == 0 else drawn


def test_copies_are_independent_of_each_other_step_by_step():
    numbers = np.random.default_rng(5).random((200, 4))
    actions = np.random.default_rng(6).integers(2, size=(60, 4))

    def run(columns):
        env = TabularEnv([noisy_corridor()] * len(columns), horizon=7)
        env.np_random = Columns(numbers, columns)
        rows = [env.reset()[0]]
        for action in actions[:, columns]:
            obs, reward, terminated, truncated, infos = env.step(action)
            rows += [obs, reward, terminated, truncated, infos["final_obs"]]
        return np.array(rows)

    together = run([0, 1, 2, 3])
    for column in range(4):
        np.testing.assert_array_equal(together[:, [column]], run([column]))


def test_random_mdp_family_has_ten_steps_and_unit_noise():
    env = FAMILY.make_env(FAMILY.sample_tasks(np.random.default_rng(0), 2_000))
    states, _ = env.reset(seed=0)
    actions = np.zeros(2_000, dtype=int)
    noise = env.step(actions)[1] - env._R[np.arange(2_000), states, actions]
    assert abs(noise.std() - 1) < 4 / 4_000**0.5
    for _ in range(8):
        assert not env.step(actions)[3].any()
    assert env.step(actions)[3].all()


def test_the_generator_is_private_and_seeded_by_reset():
    env, other = (TabularEnv([noisy_corridor()] * 8) for _ in range(2))
    first = env.reset(seed=4)[0]
    other.reset(seed=9)
    np.testing.assert_array_equal(env.reset(seed=4)[0], first)
    np.testing.assert_array_equal(other.reset(seed=4)[0], first)


def test_returned_arrays_can_be_changed_without_changing_the_environment():
    env = TabularEnv([noisy_corridor()] * 3)
    obs, _ = env.reset(seed=0)
    obs[:] = 3
    obs, *_ = env.step(np.zeros(3, dtype=int))
    assert (obs < 3).all()


@pytest.mark.parametrize(
    ("mdps", "keywords", "message"),
    [
        ([], {}, r"at least one MDP, got \[\]"),
        (noisy_corridor(), {}, r"a sequence of at least one MDP, got MDP\("),
        ([P], {}, "a sequence of at least one MDP"),
        ([noisy_corridor(), MDP(P, R, 0.9)], {}, r"share .*\(4, 2\), got \(2, 2\) for number 1"),
        ([MDP(P, R, 0.9, start=[0, 1])], {}, "number 0 may start in a terminal state"),
        ([noisy_corridor()], {"horizon": 0}, "horizon must be a whole number of at least 1"),
        ([noisy_corridor()], {"reward_noise": -1.0}, "reward_noise must not be negative"),
        ([noisy_corridor()], {"reward_noise": np.nan}, "reward_noise must be finite"),
    ],
)
def test_tabular_env_names_bad_input(mdps, keywords, message):
    with pytest.raises(ValueError, match=message):
        TabularEnv(mdps, **keywords)


@pytest.mark.parametrize("actions", [[0], [0, 2], [0, -1], [0.5, 1.0]])
def test_tabular_env_refuses_actions_outside_its_space(actions):
    env = TabularEnv([noisy_corridor()] * 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions must lie in"):
        env.step(np.array(actions))


def test_stepping_before_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        TabularEnv([noisy_corridor()]).step(np.array([0]))
