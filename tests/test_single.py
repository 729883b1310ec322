import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import metarl_lite  # noqa: F401  registers the ids
from metarl_lite.envs.gridnav import GridNav
from metarl_lite.envs.gridworld import gridworld
from metarl_lite.envs.single import SingleEnv
from metarl_lite.envs.tabular import TabularEnv

NAMES = ("GridWorld", "GridNav", "CartPole", "BernoulliBandit", "GaussianBandit", "FlappyBird")
IDS = [f"metarl_lite/{name}-v0" for name in NAMES]


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_checker_passes_without_a_warning(env_id, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # it opens a window where there is one
    check_env(gym.make(env_id).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec_uses_the_vector_entry_point(env_id):
    env = gym.make_vec(env_id, num_envs=4, vectorization_mode="vector_entry_point")
    obs, _ = env.reset(seed=0)
    assert env.num_envs == 4
    assert obs in env.observation_space
    env.action_space.seed(0)
    for _ in range(10):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert obs in env.observation_space
        assert reward.dtype == np.float64
        assert terminated.dtype == truncated.dtype == bool
        assert reward.shape == terminated.shape == truncated.shape == (4,)


def test_vector_world_equals_single_worlds_step_by_step_through_resets():
    mdp = gridworld("S..\n.#.\n..G", step_reward=-0.1).mdp  # deterministic
    vector = TabularEnv([mdp] * 4, horizon=9)
    singles = [SingleEnv(TabularEnv([mdp], horizon=9)) for _ in range(4)]
    obs, _ = vector.reset(seed=0)
    assert obs.tolist() == [single.reset(seed=1)[0] for single in singles]
    rng, endings = np.random.default_rng(0), {"terminated": 0, "truncated": 0}
    for _ in range(200):
        actions = rng.integers(4, size=4)
        obs, reward, terminated, truncated, infos = vector.step(actions)
        for i, (single, action) in enumerate(zip(singles, actions, strict=True)):
            expected = (infos["final_obs"][i], reward[i], terminated[i], truncated[i], {})
            assert single.step(action) == expected
            if terminated[i] or truncated[i]:
                assert obs[i] == single.reset()[0]
        endings["terminated"] += terminated.sum()
        endings["truncated"] += truncated.sum()
    assert min(endings.values()) > 0


def test_gridnav_equals_single_worlds_step_by_step():
    goals = np.array([[0, 2], [3, 3], [2, 0]])
    vector, singles = GridNav(goals), [SingleEnv(GridNav(goals[i : i + 1])) for i in range(3)]
    rng = np.random.default_rng(0)
    for _ in range(2):  # episodes
        obs, _ = vector.reset(seed=0)
        np.testing.assert_array_equal(obs, [single.reset(seed=1)[0] for single in singles])
        for _ in range(15):
            actions = rng.integers(5, size=3)
            obs, reward, terminated, truncated, _ = vector.step(actions)
            for i, single in enumerate(singles):
                single_obs, *rest = single.step(actions[i])
                np.testing.assert_array_equal(single_obs, obs[i])
                assert rest == [reward[i], terminated[i], truncated[i], {}]
        assert truncated.all()


def test_seed_is_shared_with_the_vector_environment():
    mdp = gridworld("....\n....\n...G", slip=0.5).mdp
    vector, single = TabularEnv([mdp]), SingleEnv(TabularEnv([mdp]))
    assert vector.reset(seed=3)[0][0] == single.reset(seed=3)[0]
    for _ in range(50):
        obs, _, terminated, truncated, _ = vector.step(np.array([1]))
        assert not truncated
        if terminated:
            break
        assert single.step(1)[0] == obs[0]


def test_stepping_after_the_end_needs_a_reset():
    env = SingleEnv(TabularEnv([gridworld("SG").mdp]))
    with pytest.raises(gym.error.ResetNeeded):
        env.step(1)
    env.reset(seed=0)
    obs, reward, terminated, truncated, _ = env.step(1)
    assert (obs, reward, terminated, truncated) == (1, 1.0, True, False)
    assert type(reward) is float
    assert type(terminated) is bool
    with pytest.raises(gym.error.ResetNeeded):
        env.step(1)


def test_only_one_copy_that_resets_at_once_or_never_is_adapted():
    mdp = gridworld("SG").mdp
    with pytest.raises(ValueError, match="one copy, got num_envs=2"):
        SingleEnv(TabularEnv([mdp] * 2))
    with pytest.raises(ValueError, match=r"must be SAME_STEP or DISABLED, got .*NEXT_STEP"):
        SingleEnv(gym.make_vec("CartPole-v1", num_envs=1, vectorization_mode="sync"))


def test_closing_closes_the_vector_environment():
    env = SingleEnv(TabularEnv([gridworld("SG").mdp]))
    env.close()
    assert env.vector_env.closed
