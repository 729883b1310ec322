from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from metarl_lite.envs import cartpole
from metarl_lite.envs.cartpole import STANDARD, CartPoleTasks, VectorCartPole
from metarl_lite.envs.single import SingleEnv

BALANCE = np.array([0.1, 0.3, 1.0, 1.2])  # pushing to the side of obs @ BALANCE keeps it upright


def gymnasium_cartpole(state, tasks=STANDARD, copy=0):
    """Gymnasium's CartPole-v1 in `state` (4,), with the physics of one of `tasks`."""
    env = gym.make("CartPole-v1")
    env.reset(seed=0)
    peer = env.unwrapped
    peer.state = state.copy()
    peer.gravity, peer.masscart = tasks.gravity[copy], tasks.mass_cart[copy]
    peer.masspole, peer.length = tasks.mass_pole[copy], tasks.length[copy]
    peer.total_mass = peer.masscart + peer.masspole
    peer.polemass_length = peer.masspole * peer.length
    peer.force_mag = tasks.force[copy]
    return env


def endings_shared_with_gymnasium(tasks, *, num_steps, randomness):
    """Step `tasks` beside Gymnasium's environments; return how many episodes ended each way.

    Copy i pushes at random with probability randomness[i] and balances otherwise.
    """
    env, rng = VectorCartPole(tasks), np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    peers = [gymnasium_cartpole(env._state[:, i], tasks, i) for i in range(len(tasks))]
    endings = {"terminated": 0, "truncated": 0}
    for _ in range(num_steps):
        balancing = (obs @ BALANCE > 0).astype(int)
        random = rng.random(len(tasks)) < randomness
        action = np.where(random, rng.integers(2, size=len(tasks)), balancing)
        obs, reward, terminated, truncated, infos = env.step(action)
        for i, peer in enumerate(peers):
            peer_obs, *outcome, _ = peer.step(int(action[i]))
            np.testing.assert_allclose(infos["final_obs"][i], peer_obs, rtol=0, atol=1e-6)
            assert outcome == [reward[i], terminated[i], truncated[i]]
            if terminated[i] or truncated[i]:
                peers[i] = gymnasium_cartpole(env._state[:, i], tasks, i)
        endings["terminated"] += terminated.sum()
        endings["truncated"] += truncated.sum()
    return endings


def test_one_push_from_rest_by_hand():
    # Upright and at rest, the angle's terms vanish: drive = force / total mass = 10 / 1.1,
    # spin' = -drive / (length (4/3 - m / M)), acceleration = drive - m length spin' / M.
    env = VectorCartPole(STANDARD)
    env.reset(seed=0)
    env._state = np.zeros((4, 1))
    obs, reward, terminated, truncated, _ = env.step(np.array([1]))
    drive = 10 / 1.1
    spin_change = -drive / (0.5 * (4 / 3 - 0.1 / 1.1))
    acceleration = drive - 0.1 * 0.5 * spin_change / 1.1
    np.testing.assert_allclose(obs, [[0, 0.02 * acceleration, 0, 0.02 * spin_change]], rtol=1e-6)
    assert (reward, terminated, truncated) == (1, False, False)


def test_the_default_task_equals_gymnasiums_over_whole_episodes():
    endings = endings_shared_with_gymnasium(
        STANDARD.repeat(12), num_steps=1_001, randomness=np.linspace(0, 0.8, 12)
    )
    assert endings["truncated"] >= 2  # at 500 steps
    assert endings["terminated"] >= 20


def test_each_copy_follows_the_physics_of_its_own_row():
    tasks = cartpole.sample_tasks(np.random.default_rng(1), 12, spread=2.0)
    endings = endings_shared_with_gymnasium(
        tasks, num_steps=501, randomness=np.linspace(0, 0.8, 12)
    )
    assert endings["terminated"] >= 10


def test_a_seeded_episode_is_gymnasiums_own_from_the_start_on():
    env, peer = cartpole.make_single(), gym.make("CartPole-v1")
    for seed in range(3):
        obs, peer_obs = env.reset(seed=seed)[0], peer.reset(seed=seed)[0]
        done = False
        while not done:
            np.testing.assert_array_equal(obs, peer_obs)
            action = int(obs @ BALANCE > 0)
            obs, *outcome, _ = env.step(action)
            peer_obs, *peer_outcome, _ = peer.step(action)
            assert outcome == peer_outcome
            done = outcome[1] or outcome[2]


def test_vector_equals_single_environments_step_by_step_through_resets():
    tasks = cartpole.sample_tasks(np.random.default_rng(2), 5)
    vector, rng = VectorCartPole(tasks, horizon=30), np.random.default_rng(0)
    vector.reset(seed=0)
    fields = ("gravity", "mass_cart", "mass_pole", "length", "force")
    rows = [CartPoleTasks(*(getattr(tasks, name)[i] for name in fields)) for i in range(5)]
    singles = [SingleEnv(VectorCartPole(row, horizon=30)) for row in rows]
    for i, single in enumerate(singles):
        single.reset(seed=i)
        single.vector_env._state = vector._state[:, [i]]
    endings = {"terminated": 0, "truncated": 0}
    for _ in range(200):
        action = rng.integers(2, size=5)
        _, reward, terminated, truncated, infos = vector.step(action)
        for i, single in enumerate(singles):
            single_obs, *outcome, _ = single.step(action[i])
            np.testing.assert_array_equal(single_obs, infos["final_obs"][i])
            assert outcome == [reward[i], terminated[i], truncated[i]]
            if terminated[i] or truncated[i]:
                single.reset()
                single.vector_env._state = vector._state[:, [i]]
        endings["terminated"] += terminated.sum()
        endings["truncated"] += truncated.sum()
    assert min(endings.values()) > 0


def test_a_finished_copy_restarts_in_the_same_step_and_final_obs_keeps_the_successor():
    env = VectorCartPole(STANDARD.repeat(3), horizon=50)
    obs, _ = env.reset(seed=0)
    seen = 0
    for _ in range(60):
        obs, _, terminated, truncated, infos = env.step(np.array([1, 0, 1]))
        done = terminated | truncated
        np.testing.assert_array_equal(infos["_final_obs"], done)
        np.testing.assert_array_equal(infos["final_obs"][~done], obs[~done])
        beyond = (abs(infos["final_obs"][:, 0]) > 2.4) | (
            abs(infos["final_obs"][:, 2]) > np.deg2rad(12)
        )
        np.testing.assert_array_equal(beyond, terminated)
        assert (abs(obs[done]) <= 0.05).all()  # a restart
        seen += done.sum()
    assert seen > 6


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("variable", "limit"), [(0, 2.4), (2, np.deg2rad(12))])
def test_an_episode_terminates_beyond_each_limit_and_not_within(side, variable, limit):
    env = VectorCartPole(STANDARD.repeat(2))
    env.reset(seed=0)
    env._state = np.zeros((4, 2))
    env._state[variable] = side * limit * np.array([0.999, 1.001])  # at rest: it stays this step
    assert env.step(np.array([0, 0]))[2].tolist() == [False, True]


def test_copies_that_end_together_restart_apart():
    env = VectorCartPole(STANDARD.repeat(3), horizon=1)
    env.reset(seed=0)
    obs, *_ = env.step(np.array([0, 0, 0]))
    assert len(np.unique(obs)) == obs.size


def test_the_horizon_counts_the_steps_of_each_episode():
    env = VectorCartPole(STANDARD.repeat(2), horizon=3)
    env.reset(seed=0)
    outcomes = [env.step(np.array([0, 1]))[2:4] for _ in range(7)]
    assert not any(terminated.any() for terminated, _ in outcomes)
    assert [truncated.all() for _, truncated in outcomes] == [False, False, True] * 2 + [False]


def test_a_seed_reproduces_the_episodes_and_another_does_not():
    def course(seed):
        env = VectorCartPole(STANDARD.repeat(4), horizon=20)
        steps = [env.reset(seed=seed)[0]]
        steps += [env.step(np.array([0, 1, 0, 1]))[0] for _ in range(50)]
        return np.stack(steps)

    np.testing.assert_array_equal(course(3), course(3))
    assert (course(3) != course(4)).all()
    assert (course(3)[0][0] != course(3)[0][1]).all()  # each copy has its own start


def test_what_is_returned_is_a_copy():
    env = VectorCartPole(STANDARD.repeat(2))
    obs, _ = env.reset(seed=0)
    state = env._state.copy()
    obs += 1
    np.testing.assert_array_equal(env._state, state)
    obs, _, _, _, infos = env.step(np.array([0, 1]))
    state, kept = env._state.copy(), obs.copy()
    infos["final_obs"] += 1
    np.testing.assert_array_equal(obs, kept)
    obs += 1
    np.testing.assert_array_equal(env._state, state)
    np.testing.assert_array_equal(STANDARD.gravity, [9.8])
    with pytest.raises(ValueError, match="read-only"):
        STANDARD.gravity[0] = 1.0


def test_sampled_physics_fill_the_range_log_uniformly():
    tasks = cartpole.sample_tasks(np.random.default_rng(0), 4_000, spread=2.0)
    for name in ("gravity", "mass_cart", "mass_pole", "length", "force"):
        exponent = np.log(getattr(tasks, name) / getattr(STANDARD, name)) / np.log(2.0)
        assert abs(exponent).max() <= 1
        # uniform on [-1, 1] has mean 0 and standard deviation 3 ** -0.5; four standard errors
        assert abs(exponent.mean()) < 4 / np.sqrt(3 * 4_000)
        assert abs((exponent**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / 4_000)
    assert abs(np.corrcoef(np.log(tasks.gravity), np.log(tasks.force))[0, 1]) < 4 / np.sqrt(4_000)
    again = cartpole.sample_tasks(np.random.default_rng(0), 4_000, spread=2.0)
    np.testing.assert_array_equal(again.length, tasks.length)


def test_a_spread_of_one_is_the_standard_task():
    tasks = cartpole.sample_tasks(np.random.default_rng(0), 3, spread=1.0)
    np.testing.assert_allclose(tasks.gravity, 9.8)
    np.testing.assert_allclose(tasks.length, 0.5)


def test_repeat_keeps_the_copies_of_a_task_together():
    tasks = replace(STANDARD, length=[0.5, 1.0]).repeat(2)
    assert len(tasks) == 4
    assert tasks.length.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert tasks.gravity.tolist() == [9.8] * 4
    with pytest.raises(ValueError, match=r"times .*got 1\.5"):
        STANDARD.repeat(1.5)


def test_the_vector_factory_draws_its_tasks_with_the_seed():
    first, again = cartpole.make_vector(4, seed=5), cartpole.make_vector(4, seed=5)
    np.testing.assert_array_equal(first.tasks.gravity, again.tasks.gravity)
    assert (first.tasks.gravity != cartpole.make_vector(4, seed=6).tasks.gravity).all()
    assert len(set(first.tasks.gravity)) == 4
