"""How the book measures: seeds, complete episodes, robust means with intervals, and claims."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from html import escape
from numbers import Integral, Real

import gymnasium as gym
import numpy as np
from IPython.display import display
from scipy import stats

from metarl_lite.checks import check_count

Policy = Callable[[np.ndarray], np.ndarray]  # observations (N, ...) -> actions (N, ...)

_anchors: set[str] = set()  # given out in this process: an anchor must be unique on its page


def chapter_seed() -> int:
    """Return the seed of this run: the environment variable METARL_SEED, or 0.

    Raises ValueError where METARL_SEED is not a whole number of at least 0.
    """
    text = os.environ.get("METARL_SEED", "").strip() or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"METARL_SEED must be a whole number of at least 0, got {text!r}")
    return int(text)


def seeds(seed: int, num_seeds: int) -> list[int]:
    """Return `num_seeds` independent seeds below 2**32 that follow from `seed`.

    A longer list starts with the shorter one (numpy.random.SeedSequence).
    """
    check_count("seed", seed, least=0)
    check_count("num_seeds", num_seeds, least=1)
    return np.random.SeedSequence(seed).generate_state(num_seeds).tolist()


def returns_of_policy(
    policy: Policy,
    make_env: Callable[[int], gym.vector.VectorEnv],
    *,
    num_episodes: int,
    seed: int,
    gamma: float = 1.0,
    max_steps: int = 100_000,
) -> np.ndarray:
    """Return the (num_episodes,) returns of `policy`, one complete episode per sub-environment.

    `make_env(num_envs)` builds the environment. Each copy counts until its first episode ends and
    is ignored from there on. Collecting "the first `num_episodes` that end" from fewer copies would
    favour short episodes. Raises RuntimeError where an episode is still open after `max_steps`.
    """
    check_count("num_episodes", num_episodes, least=1)
    check_count("seed", seed, least=0)
    check_count("max_steps", max_steps, least=1)
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
    if (env := make_env(num_episodes)).num_envs != num_episodes:
        raise ValueError(f"make_env({num_episodes}) built {env.num_envs} sub-environments")
    obs, _ = env.reset(seed=seed)
    returns, discount = np.zeros(num_episodes), 1.0
    running = np.ones(num_episodes, dtype=bool)
    for _ in range(max_steps):
        actions = np.asarray(policy(obs))
        if actions.shape != (shape := env.action_space.shape):
            raise ValueError(f"policy must return actions of shape {shape}, got {actions.shape}")
        obs, rewards, terminations, truncations, _ = env.step(actions)
        returns += discount * np.where(running, rewards, 0.0)
        discount *= gamma
        running &= ~(terminations | truncations)
        if not running.any():
            env.close()
            return returns
    env.close()
    raise RuntimeError(
        f"{running.sum()} of {num_episodes} episodes did not end within {max_steps} steps"
    )


def iqm(values: np.ndarray, axis: int | None = None) -> np.ndarray | float:
    """Return the interquartile mean: the mean without the lowest and highest quarter.

    Of n values, floor(n / 4) are dropped at each end. `axis` is reduced; None takes all values.
    Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
    Precipice".
    """
    return stats.trim_mean(_finite("values", values), 0.25, axis=axis)


def bootstrap_interval(
    values: np.ndarray,
    statistic: Callable[..., np.ndarray],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    num_resamples: int = 2_000,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high), the percentile bootstrap interval of `statistic` over seeds.

    `values` is (seeds, ...); low and high have the remaining shape (...). `statistic(values, axis)`
    reduces one axis: `iqm`, `np.mean`, `np.median`. Equal values give an interval of width 0.
    """
    values = _finite("values", values)
    if values.ndim == 0 or len(values) < 2:
        raise ValueError(f"values must hold at least 2 seeds on axis 0, got shape {values.shape}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    check_count("num_resamples", num_resamples, least=1)
    interval = stats.bootstrap(
        (values,),
        lambda sample, axis: statistic(sample, axis=axis),
        n_resamples=num_resamples,
        batch=max(1, 4_000_000 // values.size),  # at most 32 MB of resamples at once
        axis=0,
        confidence_level=level,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return interval.low, interval.high


@dataclass(frozen=True)
class Claim:
    """A headline number that was asserted; the book gathers them from the executed chapters."""

    name: str
    value: float
    at_least: float | None
    at_most: float | None
    published: float | None
    source: str | None  # a key of book/references.bib
    unit: str
    anchor: str

    def __str__(self) -> str:
        return f"✓ {self.facts()}"

    def facts(self, digits: int = 4) -> str:
        """Return name, value, bounds and published figure as one line."""

        def number(x: float) -> str:
            return _format(x, digits) + (f" {self.unit}" if self.unit else "")

        known = {"at least": self.at_least, "at most": self.at_most, "published": self.published}
        context = [f"{word} {number(x)}" for word, x in known.items() if x is not None]
        if self.source:
            context[-1] += f", {self.source}"
        return f"{self.name}: {number(self.value)} ({'; '.join(context)})"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        line = str(self)
        return {
            "text/plain": line,
            "text/html": f'<span class="claim" id="{escape(self.anchor)}">{escape(line)}</span>',
            "application/vnd.metarl.claim+json": asdict(self),
        }


def claim(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    published: float | None = None,
    source: str | None = None,
    unit: str = "",
) -> None:
    """Return nothing: assert `at_least <= value <= at_most` and show it as one line.

    `published` is the figure to compare with and `source` the bibliography key it is taken from.
    Raises AssertionError with the same facts where a bound is missed or the value is not finite,
    and ValueError where the claim itself is malformed: no bound, no name, an array for a number.
    """
    if not re.search(r"\w", name):
        raise ValueError(f"a claim needs a name, got {name!r}")
    if at_least is None and at_most is None:
        raise ValueError(f"the claim {name!r} needs a bound: at_least or at_most")
    if (published is not None) and not source:
        raise ValueError(f"the published figure of {name!r} needs its source, a bibliography key")
    value, at_least, at_most, published = (
        _scalar(what, x)
        for what, x in [
            ("value", value),
            ("at_least", at_least),
            ("at_most", at_most),
            ("published", published),
        ]
    )
    low = -math.inf if at_least is None else at_least
    high = math.inf if at_most is None else at_most
    if not low <= high:
        raise ValueError(f"no value is at least {at_least} and at most {at_most}")
    claimed = Claim(name, value, at_least, at_most, published, source, unit, _anchor(name))
    if not (math.isfinite(value) and low <= value <= high):
        raise AssertionError(claimed.facts(digits=10))
    display(claimed)


def _anchor(name: str) -> str:
    slug = "claim-" + re.sub(r"[\W_]+", "-", name.lower()).strip("-")
    anchor, count = slug, 1
    while anchor in _anchors:
        count += 1
        anchor = f"{slug}-{count}"
    _anchors.add(anchor)
    return anchor


def _format(x: float, digits: int) -> str:
    """Return `x` with `digits` significant digits, in the notation people read."""
    if isinstance(x, int):
        return f"{x:,}"
    if not 1e-4 <= abs(x) < 1e7:
        return f"{x:.{digits}g}"  # 0, inf and nan among them
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(x))))
    text = f"{x:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def _scalar(what: str, x: float | None) -> float | None:
    if x is None and what != "value":
        return None
    if isinstance(x, bool | np.bool_) or not isinstance(x, Real):
        raise ValueError(f"{what} must be one number, got {type(x).__name__}: {x!r}")
    return int(x) if isinstance(x, Integral) else float(x)


def _finite(what: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu" or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(
            f"{what} must be a non-empty array of finite numbers, "
            f"got dtype {values.dtype}, shape {values.shape}, "
            f"{np.count_nonzero(values != values)} NaN"
        )
    return values.astype(np.float64)
