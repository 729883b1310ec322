"""The best that can be done in Bernoulli bandits with uniform priors, by dynamic programming.

What matters about a past is only its counts, so the counts are the states of a known MDP:

    V(counts) = max over arms of  p (1 + V(one more success)) + (1 - p) V(one more failure)

with p the arm's posterior mean (Bellman 1956). There is no discount, and the horizon is finite.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from metarl_lite.checks import check_count


def bayes_optimal_q(horizon: int) -> list[np.ndarray]:
    """Return the exact values of both arms of a two-armed bandit, a table for each time t.

    Table t is (t + 1, t + 1, t + 1, 2): [pulls of arm 0, its successes, successes of arm 1, arm],
    the reward still to come, and NaN where such counts are impossible. `q[0].max()` is the value
    of the problem; `two_armed_optimum` plays the tables.
    """
    check_count("horizon", horizon)
    tables, value = [], np.zeros((horizon + 1,) * 3)
    for t in reversed(range(horizon)):
        tables.append(_two_armed_q(t, value))
        value = tables[-1].max(axis=-1)
    return tables[::-1]


def two_armed_value(agent: Callable[..., np.ndarray], horizon: int) -> float:
    """Return the exact mean reward of an `Agent` whose scores do not depend on chance.

    All states of one time are handed to the agent as so many tasks; ties count half each.
    """
    check_count("horizon", horizon)
    value = np.zeros((horizon + 1,) * 3)
    for t in reversed(range(horizon)):
        q = _two_armed_q(t, value)
        n, s0, s1 = np.nonzero(~np.isnan(q[..., 0]))
        pulls, totals = np.stack([n, t - n], axis=1), np.stack([s0, s1], axis=1)
        scores = agent(pulls, totals.astype(np.float64), np.random.default_rng(0))
        best = scores == scores.max(axis=1, keepdims=True)
        value = np.full((t + 1,) * 3, np.nan)
        value[n, s0, s1] = (q[n, s0, s1] * best).sum(axis=1) / best.sum(axis=1)
    return float(value[0, 0, 0])


def _two_armed_q(t: int, value: np.ndarray) -> np.ndarray:
    """Return q after t pulls, (t + 1, t + 1, t + 1, 2), from `value` after t + 1."""
    n, s0, s1 = np.ogrid[: t + 1, : t + 1, : t + 1]
    p0, p1 = (s0 + 1) / (n + 2), (s1 + 1) / (t - n + 2)
    q0 = p0 * (1 + value[1:, 1:, :-1]) + (1 - p0) * value[1:, :-1, :-1]
    q1 = p1 * (1 + value[:-1, :-1, 1:]) + (1 - p1) * value[:-1, :-1, :-1]
    possible = (s0 <= n) & (s1 <= t - n)
    return np.where(possible[..., None], np.stack([q0, q1], axis=-1), np.nan)


def bayes_optimal_value(num_arms: int, horizon: int) -> float:
    """Return the exact value of `num_arms` arms and `horizon` pulls; for small problems.

    Arms are exchangeable, so a state is the sorted row of counts of the arms pulled so far: at
    horizon 10 a few thousand states instead of millions, however many arms there are.
    """
    check_count("num_arms", num_arms)
    check_count("horizon", horizon)

    @cache
    def value(counts: tuple[tuple[int, int], ...], remaining: int) -> float:
        if remaining == 0:
            return 0.0
        fresh = [(0, 0)] if len(counts) < num_arms else []
        return max(q(counts, remaining, arm) for arm in {*counts, *fresh})

    def q(counts: tuple[tuple[int, int], ...], remaining: int, arm: tuple[int, int]) -> float:
        s, f = arm
        others = list(counts)
        if arm in others:
            others.remove(arm)
        won, lost = (tuple(sorted([*others, new])) for new in ((s + 1, f), (s, f + 1)))
        p = (s + 1) / (s + f + 2)
        return p * (1 + value(won, remaining - 1)) + (1 - p) * value(lost, remaining - 1)

    return value((), horizon)
