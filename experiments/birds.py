"""How far stacked networks bring birds of given physics."""

import numpy as np
from torch import nn

from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird
from metarl_lite.evaluate import returns_of_policy
from metarl_lite.rollout import greedy_policy


def pipes_passed(
    net: nn.Sequential, tasks: FlappyTasks, *, seed: int, max_pipes: int, tell: tuple[str, ...] = ()
) -> np.ndarray:
    """Return the pipes (network, task) of one greedy game in each task, `max_pipes` at most."""
    networks = len(net[0].weight)
    everyone = tasks[np.tile(np.arange(len(tasks)), networks)]
    returns = returns_of_policy(
        greedy_policy(net),
        lambda num_envs: VectorFlappyBird(everyone, max_pipes=max_pipes, tell=tell),
        num_episodes=len(everyone),
        seed=seed,
    )
    pipes = np.where(returns < max_pipes, returns + 1, returns)  # a crash has cost 1
    return pipes.reshape(networks, len(tasks))
