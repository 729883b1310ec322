import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from metarl_lite import flappy_agent
from metarl_lite.algorithms.rl2 import make_net
from metarl_lite.envs.flappy import VectorFlappyBird
from metarl_lite.envs.flappy_tasks import PHYSICS, sample_tasks
from metarl_lite.nets import stacked_mlp
from metarl_lite.rollout import greedy_policy
from metarl_lite.trials import play


def undecided(net, head):
    """Return the network with large weights and no bias at its end: both actions will occur."""
    with torch.no_grad():
        head.weight.mul_(100)
        head.bias.zero_()
    return net


def saved_and_loaded(net, tmp_path, **told):
    path = tmp_path / "new folder" / "agent.pt"
    flappy_agent.save_agent(net, path, **told)
    return flappy_agent.load_agent(path)


@pytest.mark.parametrize("tell", [(), PHYSICS])
def test_a_saved_network_comes_back_the_same(tmp_path, tell):
    net = stacked_mlp((8 + len(tell), 5, 4, 2), generator=torch.Generator().manual_seed(0))
    undecided(net, net[-1])
    act, told = saved_and_loaded(net, tmp_path, tell=tell)
    assert told == tell
    obs = np.random.default_rng(0).normal(size=(50, 8 + len(tell))).astype(np.float32)
    actions, memory = act(obs, np.zeros(50), np.ones(50, dtype=bool), "kept")
    assert memory == "kept"
    assert 0 < actions.sum() < 50
    assert_array_equal(actions, greedy_policy(net)(obs))


def test_a_saved_network_with_a_memory_acts_as_in_trials(tmp_path):
    """Over several games of each bird, with whatever ended them."""
    env = VectorFlappyBird(sample_tasks(np.random.default_rng(0), 20))
    net = make_net(env, hidden_size=12, input_scale=4.0, seed=0)
    undecided(net, net.policy)
    act, told = saved_and_loaded(net, tmp_path)
    assert told == ()
    trials = play(net, env, num_steps=150, greedy=True, generator=torch.Generator())
    seed = int(torch.randint(2**31, (), generator=torch.Generator()))
    obs, memory = env.reset(seed=seed)[0], None
    reward, begins = np.zeros(20), np.ones(20, dtype=bool)
    for expected in trials.action:
        action, memory = act(obs, reward, begins, memory)
        assert_array_equal(action, expected)
        obs, reward, terminated, truncated, _ = env.step(action)
        begins = terminated | truncated
    assert 0 < trials.action.sum() < trials.action.numel()
    assert trials.inputs[..., -1].sum() > 40
