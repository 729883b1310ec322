"""GridNav: a hidden goal cell, after VariBAD (Zintgraf et al. 2020, arXiv:1910.08348).

The goal *is* the task, fixed at construction: `reset` starts another episode of the same
task, and a new task is a new GridNav.
"""

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl_lite.checks import check_count
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.mdp import MDP
from metarl_lite.envs.single import SingleEnv

MOVES = np.array([(0, 0), (-1, 0), (0, 1), (1, 0), (0, -1)])  # stay, up, right, down, left


def sample_goals(rng: np.random.Generator, num_tasks: int, *, size: int = 5) -> np.ndarray:
    """Draw (num_tasks, 2) cells uniformly, never the start (0, 0) or its three neighbours."""
    check_count("num_tasks", num_tasks)
    _check_size(size)
    cells = [(r, c) for r in range(size) for c in range(size) if max(r, c) > 1]
    return np.array(cells)[rng.integers(len(cells), size=num_tasks)]


def as_mdps(goals: np.ndarray, *, size: int = 5, gamma: float = 0.9) -> tuple[MDP, ...]:
    """Return the worlds of `goals` (N, 2) as tables, whose episodes start in any cell.

    State row * size + column; rewards as in GridNav, paid for the cell that a step leads to.
    """
    goals = GridNav(goals, size=size).goals  # which checks them
    cells = np.stack(np.divmod(np.arange(size**2), size), axis=1)
    led_to = np.clip(cells[:, None] + MOVES, 0, size - 1)  # (S, A, 2)
    P = np.eye(size**2)[led_to @ [size, 1]]
    rewards = (np.where((led_to == goal).all(axis=-1), 1.0, -0.1) for goal in goals)
    return tuple(MDP(P, R, gamma) for R in rewards)


class GridNav(gym.vector.VectorEnv):
    """N gridworlds in lockstep, one per row of `goals` (N, 2).

    Observation: (N, 2) int, the agent's (row, column).  Action: (N,) index into MOVES.
    Reward: +1 on the goal, else -0.1.  All truncate at `horizon`; none terminates.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, goals: np.ndarray, *, size: int = 5, horizon: int = 15) -> None:
        goals = np.array(goals)
        if goals.ndim != 2 or goals.shape[1] != 2 or goals.dtype.kind not in "iu" or not len(goals):
            raise ValueError(
                f"goals must be (N, 2) integers, got {goals.dtype} of shape {goals.shape}"
            )
        _check_size(size)
        check_count("horizon", horizon)
        if not ((goals >= 0) & (goals < size)).all():
            raise ValueError(f"goals outside the {size}x{size} grid: {goals.tolist()}")
        self.goals, self.size, self.horizon, self.num_envs = goals, size, horizon, len(goals)
        self.single_observation_space = gym.spaces.MultiDiscrete([size, size])
        self.single_action_space = gym.spaces.Discrete(len(MOVES))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._t = horizon  # nothing runs before the first reset

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return every agent's cell, (0, 0), and no infos."""
        super().reset(seed=seed)
        self._cells = np.zeros((self.num_envs, 2), dtype=np.int64)
        self._t = 0
        return self._cells.copy(), {}

    def step(self, actions: np.ndarray):
        """Return (cells, rewards, terminations, truncations, {}), all with leading axis N."""
        if self._t >= self.horizon:
            raise gym.error.ResetNeeded(f"the {self.horizon} steps are over: call reset()")
        if not self.action_space.contains(np.asarray(actions)):
            raise ValueError(f"actions must lie in {self.action_space}, got {actions!r}")
        self._cells = np.clip(self._cells + MOVES[actions], 0, self.size - 1)
        self._t += 1
        on_goal = (self._cells == self.goals).all(axis=-1)
        rewards = np.where(on_goal, 1.0, -0.1)
        terminations = np.zeros(self.num_envs, dtype=bool)
        truncations = np.full(self.num_envs, self._t >= self.horizon)
        return self._cells.copy(), rewards, terminations, truncations, {}


def _check_size(size: int) -> None:
    check_count("size", size)
    if size < 3:
        raise ValueError(f"size must be at least 3, so that a goal can be hidden, got {size}")


FAMILY = TaskFamily(sample_goals, GridNav)


def make_vector(
    num_envs: int = 1, *, seed: int | None = None, size: int = 5, horizon: int = 15
) -> GridNav:
    """Return `num_envs` worlds whose goals are drawn with `seed`."""
    check_count("num_envs", num_envs)
    goals = sample_goals(np.random.default_rng(seed), num_envs, size=size)
    return GridNav(goals, size=size, horizon=horizon)


def make_single(**kwargs) -> SingleEnv:
    """Return one world as a plain Gymnasium environment; keywords as for `make_vector`."""
    return SingleEnv(make_vector(1, **kwargs))
