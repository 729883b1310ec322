"""Stable-Baselines3 as a peer; these tests need the `bench` extra and are skipped without it."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import metarl_lite  # noqa: F401  registers the ids
from metarl_lite.algorithms import dqn
from metarl_lite.nets import stacked_mlp
from metarl_lite.returns import gae
from metarl_lite.rollout import Transitions

pytest.importorskip("stable_baselines3")
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.env_checker import check_env


@pytest.mark.parametrize("name", ["CartPole", "FlappyBird"])
def test_its_checker_accepts_the_single_environment(name, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    check_env(gym.make(f"metarl_lite/{name}-v0").unwrapped)


@pytest.mark.parametrize("name", ["CartPole", "FlappyBird"])
def test_its_dqn_trains_on_our_environment_unchanged(name):
    env = gym.make(f"metarl_lite/{name}-v0")
    model = DQN("MlpPolicy", env, learning_starts=50, train_freq=10, seed=0, device="cpu")
    before = [p.detach().clone() for p in model.q_net.parameters()]
    model.learn(400)
    assert model.num_timesteps == 400
    assert len(model.ep_info_buffer) > 5
    assert all((p != q).any() for p, q in zip(model.q_net.parameters(), before, strict=True))


@pytest.mark.parametrize("gae_lambda", [0.0, 0.9, 1.0])
def test_advantages_equal_its_rollout_buffers(gae_lambda):
    num_steps, num_envs, gamma = 12, 4, 0.95
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, num_steps, num_envs)).astype(np.float32)
    last_value = rng.normal(size=num_envs).astype(np.float32)
    ends = rng.random((2, num_steps, num_envs)) < 0.15
    truncated, terminated = ends[0] & ~ends[1], ends[1]
    final_value = rng.normal(size=(num_steps, num_envs)).astype(np.float32)
    # Like its PPO: where an episode was cut short, gamma V(final observation) joins the reward.
    peer_reward = reward + gamma * final_value * truncated
    done = terminated | truncated
    box, discrete = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Discrete(2)
    peer = RolloutBuffer(num_steps, box, discrete, "cpu", gae_lambda, gamma, num_envs)
    start, zeros = np.ones(num_envs, dtype=bool), np.zeros((num_envs, 1))
    for t in range(num_steps):
        peer.add(zeros, zeros, peer_reward[t], start, torch.tensor(value[t]), torch.zeros(num_envs))
        start = done[t]
    peer.compute_returns_and_advantage(torch.tensor(last_value), done[-1])
    next_value = np.where(truncated, final_value, np.concatenate([value[1:], last_value[None]]))
    arguments = (reward, value, next_value.astype(np.float32), terminated, truncated)
    ours = gae(*map(torch.tensor, arguments), gamma=gamma, gae_lambda=gae_lambda)
    np.testing.assert_allclose(ours, peer.advantages, atol=1e-5)


def test_the_plain_loss_of_one_seed_is_its_formula_for_the_same_weights():
    env = gym.make("metarl_lite/CartPole-v0")
    model = DQN("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu")
    generator = torch.Generator().manual_seed(0)
    net = stacked_mlp((4, 8, 2), generator=generator)
    target = stacked_mlp((4, 8, 2), generator=generator)
    for ours, theirs in ((net, model.q_net), (target, model.q_net_target)):
        for layer, linear in zip(ours[::2], theirs.q_net[::2], strict=True):
            linear.weight.data = layer.weight[0].detach().T.clone()
            linear.bias.data = layer.bias[0, 0].detach().clone()
    obs, next_obs = torch.randn(2, 1, 32, 4, generator=generator)
    action = torch.randint(2, (1, 32), generator=generator)
    terminated = torch.rand(1, 32, generator=generator) < 0.3
    reward, no = torch.randn(1, 32, generator=generator), torch.zeros(1, 32, dtype=torch.bool)
    batch = Transitions(obs, action, reward, next_obs, terminated, no)
    config = dqn.DQNConfig(gamma=0.9, double=False)
    with torch.no_grad():
        best = model.q_net_target(next_obs[0]).max(dim=1).values
        y = reward[0] + (1 - terminated[0].float()) * 0.9 * best
    q = model.q_net(obs[0]).gather(1, action[0][:, None])[:, 0]
    expected = torch.nn.functional.smooth_l1_loss(q, y)
    torch.testing.assert_close(dqn.dqn_loss(net, target, batch, config), expected[None])
