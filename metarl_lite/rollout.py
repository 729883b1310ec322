"""The bridge between numpy environments and torch learners: rollouts and a replay buffer."""

from collections.abc import Callable
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from metarl_lite.checks import check_count


class Transitions(NamedTuple):
    """What a learner sees of the environment; the leading axes are the caller's.

    `rollout` gives (time, env), the replay buffer (seed, batch).
    """

    obs: Tensor  # (..., obs_dim) float32
    action: Tensor  # (...,) int64
    reward: Tensor  # (...,) float32
    next_obs: Tensor  # (..., obs_dim): where the step led, before any restart
    terminated: Tensor  # (...,) bool: the episode ended in a terminal state
    truncated: Tensor  # (...,) bool: it was cut short, and would have gone on


def step(env: gym.vector.VectorEnv, obs: Tensor, action: Tensor) -> tuple[Transitions, Tensor]:
    """Return the transitions (env,) of one step, and the observations to act on next.

    `env` must restart finished episodes within the step (AutoresetMode.SAME_STEP) and tell in
    `infos["final_obs"]` where each step led.
    """
    next_obs, reward, terminated, truncated, infos = env.step(action.numpy())
    if "final_obs" not in infos:
        raise ValueError(f"{type(env).__name__} gives no infos['final_obs']")
    transitions = Transitions(
        obs,
        action,
        torch.from_numpy(reward).float(),
        torch.from_numpy(infos["final_obs"]).float(),
        torch.from_numpy(terminated),
        torch.from_numpy(truncated),
    )
    return transitions, torch.from_numpy(next_obs).float()


def rollout(
    env: gym.vector.VectorEnv,
    policy: Callable[[Tensor], Tensor],
    *,
    num_steps: int,
    seed: int | None = None,
) -> Transitions:
    """Return (num_steps, num_envs) transitions of `policy`, from a fresh reset.

    `policy` maps observations (env, obs_dim) to actions (env,).
    """
    check_count("num_steps", num_steps)
    obs = torch.from_numpy(env.reset(seed=seed)[0]).float()
    return collect(env, obs, policy, num_steps=num_steps)[0]


def collect(
    env: gym.vector.VectorEnv,
    obs: Tensor,
    policy: Callable[[Tensor], Tensor],
    *,
    num_steps: int,
) -> tuple[Transitions, Tensor]:
    """Return the next (num_steps, num_envs) transitions from `obs` on, and where to go on."""
    steps = []
    for _ in range(num_steps):
        transitions, obs = step(env, obs, policy(obs))
        steps.append(transitions)
    return Transitions(*(torch.stack(column) for column in zip(*steps, strict=True))), obs


def greedy_policy(net: nn.Sequential) -> Callable[[np.ndarray], np.ndarray]:
    """Return the policy obs (seed * env, obs_dim) -> actions (seed * env,), seed by seed.

    It takes the action with the largest output of `net`, a stack of networks: a value or a logit.
    """
    num_seeds = len(net[0].weight)

    def policy(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            outputs = net(torch.from_numpy(obs).float().unflatten(0, (num_seeds, -1)))
        return outputs.argmax(dim=-1).flatten().numpy()

    return policy


def flat_sizes(env: gym.vector.VectorEnv, num_seeds: int) -> tuple[int, int, int]:
    """Return observation size, number of actions and copies a seed; ValueError where they fail."""
    check_count("num_seeds", num_seeds)
    obs_space, action_space = env.single_observation_space, env.single_action_space
    if not isinstance(obs_space, gym.spaces.Box) or len(obs_space.shape) != 1:
        raise ValueError(f"this learner needs flat Box observations, got {obs_space}")
    if not isinstance(action_space, gym.spaces.Discrete):
        raise ValueError(f"this learner needs Discrete actions, got {action_space}")
    if env.num_envs % num_seeds:
        raise ValueError(f"{env.num_envs} environments do not split among {num_seeds} seeds")
    return obs_space.shape[0], int(action_space.n), env.num_envs // num_seeds


class ReplayBuffer:
    """The last `capacity` transitions of each seed, drawn uniformly with replacement (Lin 1992).

    Each transition is one row of one tensor, (seed, capacity, columns), so that a minibatch is a
    single gather.
    """

    def __init__(self, num_seeds: int, capacity: int, obs_dim: int) -> None:
        check_count("num_seeds", num_seeds)
        check_count("capacity", capacity)
        check_count("obs_dim", obs_dim)
        self.num_seeds, self.capacity, self.obs_dim = num_seeds, capacity, obs_dim
        self._rows = torch.zeros(num_seeds, capacity, 2 * obs_dim + 4)
        self._first_row = capacity * torch.arange(num_seeds)[:, None]
        self._num_added = 0

    def __len__(self) -> int:
        return min(self._num_added, self.capacity)

    def add(self, batch: Transitions) -> None:
        """Store transitions (seed, n), over the oldest ones once the buffer is full."""
        n = batch.action.numel() // self.num_seeds
        for name, column in batch._asdict().items():
            features = (self.obs_dim,) if name in ("obs", "next_obs") else ()
            if column.shape != (self.num_seeds, n, *features) or n > self.capacity:
                raise ValueError(
                    f"{name} must be {(self.num_seeds, 'n', *features)} with n at most "
                    f"{self.capacity}, got {tuple(column.shape)}"
                )
        numbers = torch.stack([x.float() for x in (batch.action, batch.reward)], dim=-1)
        ends = torch.stack([batch.terminated, batch.truncated], dim=-1).float()
        slots = torch.arange(self._num_added, self._num_added + n) % self.capacity
        self._rows[:, slots] = torch.cat([batch.obs, batch.next_obs, numbers, ends], dim=-1)
        self._num_added += n

    def sample(self, batch_size: int, *, generator: torch.Generator | None = None) -> Transitions:
        """Return (seed, batch_size) transitions; every seed draws its own."""
        check_count("batch_size", batch_size)
        if len(self) == 0:
            raise ValueError("nothing is stored yet: add transitions before drawing any")
        index = torch.randint(len(self), (self.num_seeds, batch_size), generator=generator)
        rows = self._rows.flatten(0, 1)[self._first_row + index]
        obs, next_obs, rest = rows.split([self.obs_dim, self.obs_dim, 4], dim=-1)
        action, reward, terminated, truncated = rest.unbind(-1)
        return Transitions(
            obs, action.long(), reward, next_obs, terminated.bool(), truncated.bool()
        )
