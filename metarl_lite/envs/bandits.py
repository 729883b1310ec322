"""Bandits: a hidden row of arms, each paying rewards of its own mean (Thompson 1933).

The means *are* the task, fixed at construction. There is nothing to see, so every observation is
0; what an agent knows of its task is what it has pulled and received.
"""

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.single import SingleEnv


def sample_tasks(rng: np.random.Generator, num_tasks: int, *, num_arms: int = 5) -> np.ndarray:
    """Draw (num_tasks, num_arms) probabilities of success, each uniform on [0, 1]."""
    _check_sizes(num_tasks, num_arms)
    return rng.random((num_tasks, num_arms))


def sample_means(rng: np.random.Generator, num_tasks: int, *, num_arms: int = 5) -> np.ndarray:
    """Draw (num_tasks, num_arms) means of Gaussian arms, each standard normal."""
    _check_sizes(num_tasks, num_arms)
    return rng.standard_normal((num_tasks, num_arms))


class _Bandits(gym.vector.VectorEnv):
    """N bandits in lockstep, one per row of `means` (N, arms); a subclass draws the rewards."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, means: np.ndarray, *, horizon: int) -> None:
        check_count("horizon", horizon)
        self.means, self.horizon, self.num_envs = means, horizon, len(means)
        self.single_observation_space = gym.spaces.Discrete(1)
        self.single_action_space = gym.spaces.Discrete(means.shape[1])
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._t = horizon  # nothing runs before the first reset

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return N zeros and no infos; the arms stay what they are."""
        super().reset(seed=seed)
        self._t = 0
        return np.zeros(self.num_envs, dtype=np.int64), {}

    def step(self, actions: np.ndarray):
        """Return (zeros, rewards, terminations, truncations, {}), all with leading axis N."""
        if self._t >= self.horizon:
            raise gym.error.ResetNeeded(f"the {self.horizon} pulls are over: call reset()")
        if not self.action_space.contains(np.asarray(actions)):
            raise ValueError(f"actions must lie in {self.action_space}, got {actions!r}")
        self._t += 1
        rewards = self._draw(self.means[np.arange(self.num_envs), actions])
        terminations = np.zeros(self.num_envs, dtype=bool)
        truncations = np.full(self.num_envs, self._t >= self.horizon)
        return np.zeros(self.num_envs, dtype=np.int64), rewards, terminations, truncations, {}


class BernoulliBandits(_Bandits):
    """N bandits in lockstep: arm k of bandit i pays 1 with `probabilities[i, k]`, else 0.

    Observation: (N,) int, always 0.  Action: (N,) the arm to pull.  All truncate after `horizon`
    pulls; none terminates.  `means` holds the probabilities.
    """

    def __init__(self, probabilities: np.ndarray, *, horizon: int = 100) -> None:
        means = _table("probabilities", probabilities)
        if not ((means >= 0) & (means <= 1)).all():
            raise ValueError(f"probabilities must lie in [0, 1], got {probabilities!r}")
        super().__init__(means, horizon=horizon)

    def _draw(self, means: np.ndarray) -> np.ndarray:
        return (self.np_random.random(self.num_envs) < means).astype(np.float64)


class GaussianBandits(_Bandits):
    """N bandits in lockstep: arm k of bandit i pays a normal number around `means[i, k]`.

    As `BernoulliBandits`, with rewards of standard deviation `std` in the means' unit.
    """

    def __init__(self, means: np.ndarray, *, horizon: int = 100, std: float = 1.0) -> None:
        super().__init__(_table("means", means), horizon=horizon)
        if real_array("std", std).ndim or not std >= 0:
            raise ValueError(f"std must be one number of at least 0, got {std!r}")
        self.std = float(std)

    def _draw(self, means: np.ndarray) -> np.ndarray:
        return self.np_random.normal(means, self.std)


def _check_sizes(num_tasks: int, num_arms: int) -> None:
    check_count("num_tasks", num_tasks)
    check_count("num_arms", num_arms)


def _table(name: str, values: np.ndarray) -> np.ndarray:
    table = real_array(name, values)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"{name} must have shape (N, arms), got {table.shape}")
    return table


FAMILY = TaskFamily(sample_tasks, BernoulliBandits)
GAUSSIAN_FAMILY = TaskFamily(sample_means, GaussianBandits)


def make_vector(
    num_envs: int = 1, *, seed: int | None = None, num_arms: int = 5, horizon: int = 100
) -> BernoulliBandits:
    """Return `num_envs` Bernoulli bandits whose probabilities are drawn with `seed`."""
    check_count("num_envs", num_envs)
    tasks = sample_tasks(np.random.default_rng(seed), num_envs, num_arms=num_arms)
    return BernoulliBandits(tasks, horizon=horizon)


def make_single(**kwargs) -> SingleEnv:
    """Return one Bernoulli bandit as a Gymnasium environment; keywords as for `make_vector`."""
    return SingleEnv(make_vector(1, **kwargs))


def make_gaussian_vector(
    num_envs: int = 1, *, seed: int | None = None, num_arms: int = 5, horizon: int = 100
) -> GaussianBandits:
    """Return `num_envs` Gaussian bandits whose means are drawn with `seed`."""
    check_count("num_envs", num_envs)
    means = sample_means(np.random.default_rng(seed), num_envs, num_arms=num_arms)
    return GaussianBandits(means, horizon=horizon)


def make_gaussian_single(**kwargs) -> SingleEnv:
    """Return one Gaussian bandit; keywords as for `make_gaussian_vector`."""
    return SingleEnv(make_gaussian_vector(1, **kwargs))
