"""Agents that fly Flappy Bird: how they are called, saved, read back and trained.

An agent is a function

    def act(obs, reward, begins, memory):
        return actions, memory

that flies N birds at once: what they see, (N, 8) and what the agent is told; what the last decision
paid, (N,); whether a game begins, (N,) bool; and what the function itself returned last, None at
the very start. An agent keeps its memory from one game of a bird to the next.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from metarl_lite.algorithms import ppo
from metarl_lite.envs.flappy import VectorFlappyBird
from metarl_lite.envs.flappy_tasks import PHYSICS, sample_tasks
from metarl_lite.nets import RecurrentActorCritic, stacked_mlp
from metarl_lite.rollout import greedy_policy
from metarl_lite.trials import encode

AGENT = Path("_build/flappy_agent.pt")
Act = Callable[[np.ndarray, np.ndarray, np.ndarray, Any], tuple[np.ndarray, Any]]


def memoryless(net: nn.Sequential) -> Act:
    """Return the agent that acts greedily by a stack of one network, and remembers nothing."""
    policy = greedy_policy(net)
    return lambda obs, reward, begins, memory: (policy(obs), memory)


def recurrent(net: RecurrentActorCritic) -> Act:
    """Return the agent that acts greedily by a network with memory, told what `trials` tells it."""
    env = VectorFlappyBird()

    @torch.no_grad()
    def act(obs, reward, begins, memory):
        nothing = net.initial_state(len(obs)), torch.zeros(len(obs), dtype=torch.int64)
        state, last_action = memory or nothing
        reward, begins = torch.as_tensor(reward).float(), torch.as_tensor(begins)
        state = net.step(encode(env, obs, last_action, reward, begins=begins), state)
        action = net.heads(state)[0].argmax(dim=-1)
        return action.numpy(), (state, action)

    return act


def save_agent(
    net: nn.Sequential | RecurrentActorCritic, path: Path = AGENT, *, tell: tuple[str, ...] = ()
) -> None:
    """Write a network with memory, or a stack of one without, and the physics that it is told."""
    if isinstance(net, RecurrentActorCritic):
        shape = {
            "input_size": net.embedding.in_features,
            "num_actions": net.policy.out_features,
            "hidden_size": net.gru.hidden_size,
            "input_scale": net.input_scale,
        }
    else:
        shape = [net[0].weight.shape[1], *(layer.weight.shape[2] for layer in net[::2])]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"shape": shape, "tell": list(tell), "weights": net.state_dict()}, path)


def load_agent(path: Path = AGENT) -> tuple[Act, tuple[str, ...]]:
    """Return the agent in a file and the physics that it wants to be told; ValueError if none."""
    try:
        saved = torch.load(path, weights_only=True)
        shape, tell = saved["shape"], tuple(saved["tell"])
        remembers = isinstance(shape, dict)
        net = RecurrentActorCritic(**shape) if remembers else stacked_mlp(shape, num_copies=1)
        net.load_state_dict(saved["weights"])
    except Exception as error:
        raise ValueError(f"{path} holds no agent that save_agent wrote: {error}") from error
    return (recurrent if remembers else memoryless)(net), tell


def train_agent(
    *, seed: int = 0, total_steps: int = 2_000_000, progress: bool = True
) -> nn.Sequential:
    """Return a network, a stack of one, that is told the physics and plays all of them with PPO.

    Two layers are too few: about one seed in twenty then never leaves the ceiling.
    """
    env = VectorFlappyBird(sample_tasks(np.random.default_rng(seed), 256), tell=PHYSICS)
    config = ppo.PPOConfig(
        total_steps=total_steps, gamma=0.95, hidden=(64, 64, 64), lr=3e-3, entropy_coef=0.01
    )
    snapshots = ppo.learn(env, config, seed=seed, snapshot_every=total_steps // 100)
    with tqdm(total=total_steps, desc="training", disable=not progress, leave=False) as bar:
        for snapshot in snapshots:
            bar.update(snapshot.step - bar.n)
    return snapshot.policy


def saved_or_trained_agent() -> tuple[Act, tuple[str, ...]]:
    """Return the agent saved as `AGENT`, which is trained first where there is none."""
    if not AGENT.exists():
        torch.set_num_threads(1)
        save_agent(train_agent(), tell=PHYSICS)
    return load_agent()
