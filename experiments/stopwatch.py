"""Seconds of training until CartPole is solved; the evaluations that tell are not timed."""

import time

import numpy as np
import torch
from poles import make_poles
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from metarl_lite.evaluate import Policy, returns_of_policy

SOLVED, IN_A_ROW = 475.0, 3


class Stopwatch:
    """Adds up training time between evaluations, and knows when enough were good in a row."""

    def __init__(self) -> None:
        self.seconds, self.good = 0.0, 0
        self._started = time.perf_counter()

    def evaluate(self, policy: Policy, step: int) -> bool:
        """Return whether CartPole is solved now: 100 greedy episodes, off the clock."""
        self.seconds += time.perf_counter() - self._started
        returns = returns_of_policy(
            policy,
            make_poles,
            num_episodes=100,
            seed=1_000_000 + step,
        )
        self.good = self.good + 1 if returns.mean() >= SOLVED else 0
        self._started = time.perf_counter()
        return self.good == IN_A_ROW


class StopWhenSolved(BaseCallback):
    """Evaluates a Stable-Baselines3 agent on a schedule of environment steps, with a Stopwatch."""

    def __init__(self, evaluate_every: int) -> None:
        super().__init__()
        self.evaluate_every = evaluate_every
        self.stopwatch, self.solved = Stopwatch(), False

    def _on_step(self) -> bool:
        if self.num_timesteps % self.evaluate_every == 0:
            self.solved = self.stopwatch.evaluate(self._greedy, self.num_timesteps)
        return not self.solved

    def _greedy(self, obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self._scores(torch.from_numpy(obs)).argmax(dim=-1).numpy()

    def _scores(self, obs: Tensor) -> Tensor:
        """Return one number an action, the largest for the best: Q-values or probabilities."""
        if hasattr(self.model, "q_net"):
            return self.model.q_net(obs)
        return self.model.policy.get_distribution(obs).distribution.probs
