"""Standard cart-poles, and how well stacked networks balance them."""

import numpy as np
from torch import nn

from metarl_lite.envs.cartpole import STANDARD, VectorCartPole
from metarl_lite.evaluate import returns_of_policy
from metarl_lite.rollout import greedy_policy


def make_poles(num_envs: int) -> VectorCartPole:
    """Return standard cart-poles."""
    return VectorCartPole(STANDARD.repeat(num_envs))


def mean_returns(net: nn.Sequential, seed: int, *, num_episodes: int) -> np.ndarray:
    """Return each network's mean return over `num_episodes` greedy episodes, (network,)."""
    networks = len(net[0].weight)
    returns = returns_of_policy(
        greedy_policy(net), make_poles, num_episodes=networks * num_episodes, seed=seed
    )
    return returns.reshape(networks, num_episodes).mean(axis=1)
