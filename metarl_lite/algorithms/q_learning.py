"""Tabular Q-learning (Watkins and Dayan 1992), several seeds in lockstep.

    Q(S_t, A_t) <- Q(S_t, A_t) + step_size (R_{t+1} + gamma max_a Q(S_{t+1}, a) - Q(S_t, A_t))

An ended episode has no S_{t+1} to bootstrap from when it *terminated*; when it was cut short by the
time limit (*truncated*) it has one, and the target uses it.
"""

from dataclasses import dataclass

import numpy as np
from tqdm import trange

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.tabular import TabularEnv


@dataclass(frozen=True)
class QLearningConfig:
    """Defaults suit a small grid world."""

    num_steps: int = 10_000  # environment steps of each seed
    gamma: float = 0.99
    epsilon: float = 0.1  # share of uniformly random actions
    step_size: float | None = None  # constant; None: 1 / visits ** omega
    omega: float = 0.7  # in (1/2, 1]: the rates for which convergence is proved
    initial_value: float = 0.0  # of every Q(s, a); high values make even a greedy learner explore
    record_every: int = 100  # steps between two entries of the history

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_count("num_steps", self.num_steps)
        check_count("record_every", self.record_every)
        for name in ("gamma", "epsilon", "omega", "initial_value"):
            real_array(name, getattr(self, name))
        valid = {
            "gamma": 0 <= self.gamma <= 1,
            "epsilon": 0 <= self.epsilon <= 1,
            "step_size": self.step_size is None or 0 < self.step_size <= 1,
            "omega": 0.5 < self.omega <= 1,
        }
        for name in (name for name, is_valid in valid.items() if not is_valid):
            raise ValueError(f"{name} is out of its range: {getattr(self, name)!r}")


@dataclass(frozen=True, eq=False)
class QLearningResult:
    """`q` (seed, S, A), and its course.

    `steps` (K,), at which `q_history` (K, seed, S, A) was recorded; `rewards` (K, seed), the mean
    reward a step since the entry before.
    """

    q: np.ndarray
    steps: np.ndarray
    q_history: np.ndarray
    rewards: np.ndarray


def q_learning(
    env: TabularEnv,
    config: QLearningConfig = QLearningConfig(),
    *,
    seed: int,
    progress: bool = False,
) -> QLearningResult:
    """Return what one epsilon-greedy learner per sub-environment of `env` has learned."""
    rng = np.random.default_rng(seed)
    learners = np.arange(env.num_envs)
    q = np.full(
        (env.num_envs, env.single_observation_space.n, env.single_action_space.n),
        float(config.initial_value),
    )
    visits = np.zeros(q.shape)
    state, _ = env.reset(seed=seed)
    recorded, reward_sum = [], np.zeros(env.num_envs)
    for step in trange(1, config.num_steps + 1, disable=not progress, leave=False):
        action = _epsilon_greedy(q[learners, state], config.epsilon, rng)
        next_state, reward, terminated, _, infos = env.step(action)
        bootstrap = np.where(terminated, 0.0, q[learners, infos["final_obs"]].max(axis=-1))
        here = learners, state, action
        visits[here] += 1
        step_size = config.step_size or visits[here] ** -config.omega
        q[here] += step_size * (reward + config.gamma * bootstrap - q[here])
        state, reward_sum = next_state, reward_sum + reward
        if step % config.record_every == 0:
            recorded.append((step, q.copy(), reward_sum / config.record_every))
            reward_sum = np.zeros(env.num_envs)
    steps, q_history, rewards = zip(*recorded, strict=True) if recorded else ((), (), ())
    return QLearningResult(q, np.array(steps), np.array(q_history), np.array(rewards))


def _epsilon_greedy(q: np.ndarray, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) actions: the best of `q` (N, A), ties at random; with probability epsilon any."""
    best = q == q.max(axis=-1, keepdims=True)
    explore = rng.random(len(q)) < epsilon
    return np.where(best | explore[:, None], rng.random(q.shape), -1.0).argmax(axis=-1)
