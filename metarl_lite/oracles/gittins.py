"""The Gittins index of a Bernoulli arm: the price at which one would stop pulling it.

Imagine that each pull costs `price`. What is the best plan worth that may stop at any time?

    W(s, f) = max(0, p - price + gamma (p W(s + 1, f) + (1 - p) W(s, f + 1))),  p = (s+1) / (s+f+2)

The index is the price at which going on is worth exactly nothing. Retiring for good on an income
of `price` a pull is the same bargain (Whittle 1980; Gittins, Glazebrook and Weber 2011).
"""

import numpy as np

from metarl_lite.checks import check_count


def gittins_index(
    successes: np.ndarray, failures: np.ndarray, *, gamma: float, depth: int, halvings: int = 40
) -> np.ndarray:
    """Return the index of arms with these counts under a uniform prior; all three have one shape.

    gamma < 1: pulls are discounted for ever. After `depth` pulls nothing more is learned: the arm
    is pulled for ever or not at all, so the index is a lower bound that rises with `depth`.
    gamma = 1: exactly `depth` pulls remain, and the index is that of the finite horizon.
    """
    check_count("depth", depth)
    check_count("halvings", halvings)
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
    s, f = np.broadcast_arrays(successes, failures)
    if s.dtype.kind not in "iu" or f.dtype.kind not in "iu" or (s < 0).any() or (f < 0).any():
        raise ValueError(
            f"successes and failures must be counts of at least 0, got {successes} and {failures}"
        )
    low, high = np.zeros(s.shape), np.ones(s.shape)
    for _ in range(halvings):
        price = (low + high) / 2
        worth_it = _worth(s, f, price, gamma, depth) > 0
        low, high = np.where(worth_it, price, low), np.where(worth_it, high, price)
    return (low + high) / 2


def _worth(s: np.ndarray, f: np.ndarray, price: np.ndarray, gamma: float, depth: int) -> np.ndarray:
    """Return W(s, f); column j of the layer d pulls later stands for j successes among them."""
    s, n, price = s[..., None], (s + f)[..., None], price[..., None]
    for_ever = 1 / (1 - gamma) if gamma < 1 else 0.0
    worth = for_ever * np.maximum((s + np.arange(depth + 1) + 1) / (n + depth + 2) - price, 0)
    for d in reversed(range(depth)):
        p = (s + np.arange(d + 1) + 1) / (n + d + 2)
        later = p * worth[..., 1:] + (1 - p) * worth[..., :-1]
        worth = np.maximum(p - price + gamma * later, 0)
    return worth[..., 0]


def finite_horizon_gittins(horizon: int, *, num_prices: int = 256) -> np.ndarray:
    """Return every index (horizon, horizon, horizon): [t, s, f] once t pulls of `horizon` are over.

    One sweep for `num_prices` prices at once, a straight line between them: at most 1 / num_prices
    too high, mostly less than a twentieth of that. Only s + f <= t can happen (Kaufmann 2018).
    """
    check_count("horizon", horizon)
    check_count("num_prices", num_prices, least=2)
    prices = np.linspace(0, 1, num_prices)
    table = np.full((horizon, horizon, horizon), np.nan)
    worth = np.zeros((horizon + 1, horizon + 1, num_prices))
    for t in reversed(range(horizon)):
        s, f = np.ogrid[: t + 1, : t + 1]
        p = ((s + 1) / (s + f + 2))[..., None]
        going_on = p - prices + p * worth[1:, :-1] + (1 - p) * worth[:-1, 1:]
        table[t, : t + 1, : t + 1] = _crossing(prices, going_on)
        worth = np.maximum(going_on, 0)
    return table


def _crossing(prices: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where `values` (..., prices), falling from above to below 0, cross it."""
    last = (values > 0).sum(axis=-1, keepdims=True) - 1
    above, below = (np.take_along_axis(values, i, axis=-1)[..., 0] for i in (last, last + 1))
    return prices[last[..., 0]] + prices[1] * above / (above - below)
