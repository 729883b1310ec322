"""TabularEnv: N copies of finite MDPs in lockstep, one per task.

Observation: (N,) int, the state.  Action: (N,) int.  Reward: R[s, a], the *mean* reward, plus
normal noise of standard deviation `reward_noise`.  Entering a terminal state terminates; `horizon`
steps without one truncate.  Autoreset is SAME_STEP: when an episode ends, the state returned is
already the next episode's first, and `infos["final_obs"]` (N,) holds the true next state of every
copy, `infos["_final_obs"]` (N,) whether that copy's episode has just ended.
"""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.mdp import MDP, sample_tasks


class TabularEnv(gym.vector.VectorEnv):
    """One copy per MDP of `mdps`, which must share S and A: `TabularEnv([mdp] * 8, horizon=50)`."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self, mdps: Sequence[MDP], *, horizon: int = 100, reward_noise: float = 0.0
    ) -> None:
        _check_mdps(mdps)
        check_count("horizon", horizon)
        if real_array("reward_noise", reward_noise) < 0:
            raise ValueError(f"reward_noise must not be negative, got {reward_noise!r}")
        self.num_envs, self.horizon, self.reward_noise = len(mdps), horizon, reward_noise
        self.single_observation_space = gym.spaces.Discrete(mdps[0].num_states)
        self.single_action_space = gym.spaces.Discrete(mdps[0].num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._index = np.arange(self.num_envs)
        self._P = _cumulative(np.stack([mdp.P for mdp in mdps]))  # (N, S, A, S)
        self._R = np.stack([mdp.R for mdp in mdps])  # (N, S, A)
        self._start = _cumulative(np.stack([mdp.start for mdp in mdps]))  # (N, S)
        self._terminal = np.stack([mdp.terminal for mdp in mdps])  # (N, S)
        self._state: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return the first states (N,) and no infos; `seed` restarts the private generator."""
        super().reset(seed=seed)
        self._state = _draw(self._start, self.np_random.random(self.num_envs))
        self._t = np.zeros(self.num_envs, dtype=np.int64)
        return self._state.copy(), {}

    def step(self, actions: np.ndarray):
        """Return (states, rewards, terminations, truncations, infos), all with leading axis N."""
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        if not self.action_space.contains(np.asarray(actions)):
            raise ValueError(f"actions must lie in {self.action_space}, got {actions!r}")
        # Both draws for every copy, ended or not: copy i then depends on column i alone.
        move, restart = self.np_random.random((2, self.num_envs))
        rewards = self._R[self._index, self._state, actions]
        if self.reward_noise:
            rewards = rewards + self.reward_noise * self.np_random.normal(size=self.num_envs)
        next_state = _draw(self._P[self._index, self._state, actions], move)
        self._t += 1
        terminations = self._terminal[self._index, next_state]
        truncations = ~terminations & (self._t >= self.horizon)
        ended = terminations | truncations
        self._state = np.where(ended, _draw(self._start, restart), next_state)
        self._t[ended] = 0
        infos = {"final_obs": next_state, "_final_obs": ended}
        return self._state.copy(), rewards, terminations, truncations, infos


def _check_mdps(mdps: Sequence[MDP]) -> None:
    if isinstance(mdps, MDP) or not all(isinstance(mdp, MDP) for mdp in mdps) or not len(mdps):
        raise ValueError(f"mdps must be a sequence of at least one MDP, got {mdps!r}")
    for i, mdp in enumerate(mdps):
        if mdp.R.shape != mdps[0].R.shape:
            raise ValueError(
                f"all MDPs must share (S, A) = {mdps[0].R.shape}, got {mdp.R.shape} for number {i}"
            )
        if mdp.start[mdp.terminal].any():
            raise ValueError(f"MDP number {i} may start in a terminal state: {mdp.start.tolist()}")


def _cumulative(probabilities: np.ndarray) -> np.ndarray:
    """Return sums along the last axis whose last entry is exactly one."""
    total = probabilities.cumsum(axis=-1)
    return total / total[..., -1:]


def _draw(cumulative: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return (N,) indices: the inverse of each row (N, K) of `cumulative` at `uniform` (N,)."""
    return (uniform[:, None] >= cumulative).sum(axis=-1)


def make_random_mdp_env(tasks: Sequence[MDP]) -> TabularEnv:
    """Return RL²'s random MDPs as environments: episodes of 10 steps, reward noise 1."""
    return TabularEnv(tasks, horizon=10, reward_noise=1.0)


FAMILY = TaskFamily(sample_tasks, make_random_mdp_env)
