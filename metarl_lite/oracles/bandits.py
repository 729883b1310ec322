"""Agents for bandits, playing thousands of tasks at once, and the yardsticks of their regret.

An agent looks at what is known of every arm, `pulls` and `totals` (the sums of the rewards), both
(task, arm), and returns scores (task, arm). The highest is pulled; ties are broken at random.

    def agent(pulls, totals, rng): ...        with its own knobs as keywords: functools.partial
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from metarl_lite.checks import real_array

Agent = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class Played:
    """What was pulled and received: `arms` int and `rewards` float, both (task, time)."""

    arms: np.ndarray
    rewards: np.ndarray


def play(agent: Agent, env: gym.vector.VectorEnv, *, seed: int) -> Played:
    """Return one episode of `agent` in every bandit of `env`, a `BernoulliBandits` or Gaussian.

    The agent's luck and the arms' both follow from `seed`. Raises ValueError where the scores have
    another shape than (task, arm), or hold NaN.
    """
    arms_seed, agent_seed = np.random.SeedSequence(seed).generate_state(2)
    rng, rows = np.random.default_rng(agent_seed), np.arange(env.num_envs)
    pulls = np.zeros(env.means.shape, dtype=np.int64)
    totals = np.zeros(env.means.shape)
    history = []
    env.reset(seed=int(arms_seed))
    for _ in range(env.horizon):
        scores = agent(pulls.copy(), totals.copy(), rng)
        if np.shape(scores) != pulls.shape:
            raise ValueError(f"scores must be (task, arm) = {pulls.shape}, got {np.shape(scores)}")
        arms = best_arms(scores, rng)
        _, rewards, *_ = env.step(arms)
        pulls[rows, arms] += 1
        totals[rows, arms] += rewards
        history.append((arms, rewards))
    arms, rewards = (np.stack(column, axis=1) for column in zip(*history, strict=True))
    return Played(arms, rewards)


def best_arms(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the arm of the highest score, (task, arm) -> (task,) int, ties broken at random."""
    scores = np.asarray(scores)
    if scores.ndim != 2 or not scores.size or np.isnan(scores).any():
        raise ValueError(f"scores must be (task, arm) numbers without NaN, got {scores!r:.200}")
    best = scores == scores.max(axis=1, keepdims=True)
    return np.where(best, rng.random(scores.shape), -1.0).argmax(axis=1)


def uniform(pulls: np.ndarray, totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return equal scores: every arm is as good as any other."""
    return np.zeros(pulls.shape)


def greedy(
    pulls: np.ndarray,
    totals: np.ndarray,
    rng: np.random.Generator,
    *,
    prior: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Return the mean of each arm as if `prior` successes and failures had been seen before.

    (1, 1) gives the posterior mean under a uniform prior; (a, 0) is optimism: an arm never pulled
    looks perfect.
    """
    successes, failures = prior
    if not (successes >= 0 and failures >= 0 and 0 < successes + failures < np.inf):
        raise ValueError(f"prior must be two counts of at least 0, not both 0, got {prior}")
    return (totals + successes) / (pulls + successes + failures)


def epsilon_greedy(
    pulls: np.ndarray, totals: np.ndarray, rng: np.random.Generator, *, epsilon: float = 0.1
) -> np.ndarray:
    """Return `greedy`'s scores, or with probability `epsilon` random ones, drawn per task."""
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon must lie in [0, 1], got {epsilon}")
    explore = rng.random((len(pulls), 1)) < epsilon
    return np.where(explore, rng.random(pulls.shape), greedy(pulls, totals, rng))


def ucb1(
    pulls: np.ndarray, totals: np.ndarray, rng: np.random.Generator, *, width: float = 2**0.5
) -> np.ndarray:
    """Return mean + width sqrt(ln t / pulls), infinite where an arm was never pulled.

    The width sqrt(2) has the proof (Auer et al. 2002, theorem 1); less does better in practice.
    """
    if not 0.0 <= width < np.inf:
        raise ValueError(f"width must be a number of at least 0, got {width}")
    t = np.maximum(pulls.sum(axis=1, keepdims=True), 1)
    n = np.maximum(pulls, 1)
    return np.where(pulls == 0, np.inf, totals / n + width * np.sqrt(np.log(t) / n))


def thompson(pulls: np.ndarray, totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one draw of each arm's posterior, Beta(1 + successes, 1 + failures).

    For rewards 0 and 1 and a uniform prior (Thompson 1933).
    """
    return rng.beta(1 + totals, 1 + pulls - totals)


def index_policy(
    pulls: np.ndarray, totals: np.ndarray, rng: np.random.Generator, *, table: np.ndarray
) -> np.ndarray:
    """Return `table[t, successes, failures]` for each arm after t pulls (`finite_horizon_gittins`).

    An arm's score depends on no other arm: that is what makes it an index.
    """
    successes = totals.astype(np.int64)
    return table[pulls[0].sum(), successes, pulls - successes]


def two_armed_optimum(
    pulls: np.ndarray, totals: np.ndarray, rng: np.random.Generator, *, q: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the exact values (task, 2) of both arms, looked up in `bayes_optimal_q`'s tables."""
    first, second = totals.astype(np.int64).T
    return q[pulls[0].sum()][pulls[:, 0], first, second]


def cumulative_regret(means: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """Return (task, time): how much more the best arm would have paid so far, on average.

    `means` is (task, arm), `arms` (task, time). This is the pseudo-regret: it compares means, not
    the luck of the draws.
    """
    means, arms = real_array("means", means), np.asarray(arms)
    if means.ndim != 2 or arms.ndim != 2 or len(means) != len(arms):
        raise ValueError(
            f"means must be (task, arm) and arms (task, time), got {means.shape} and {arms.shape}"
        )
    if arms.dtype.kind not in "iu" or not ((arms >= 0) & (arms < means.shape[1])).all():
        raise ValueError(f"arms must be whole numbers of 0..{means.shape[1] - 1}, got {arms!r}")
    gaps = means.max(axis=1, keepdims=True) - means
    return np.take_along_axis(gaps, arms, axis=1).cumsum(axis=1)


def lai_robbins_constant(probabilities: np.ndarray) -> np.ndarray:
    """Return c (task,): no consistent agent's regret grows more slowly than c ln n, in the end.

    c = sum of gap_k / kl(p_k, p_best) over the arms that are not best, for Bernoulli arms (Lai and
    Robbins 1985). `probabilities` is (task, arm), each strictly between 0 and 1.
    """
    p = real_array("probabilities", probabilities)
    if p.ndim != 2 or not ((p > 0) & (p < 1)).all():
        raise ValueError(f"probabilities must be (task, arm) within (0, 1), got {probabilities!r}")
    best = p.max(axis=1, keepdims=True)
    divergence = p * np.log(p / best) + (1 - p) * np.log((1 - p) / (1 - best))
    return np.divide(best - p, divergence, out=np.zeros_like(p), where=p < best).sum(axis=1)
