"""Finite Markov decision processes as values: arrays P, R, a discount and a start distribution.

    P[s, a, s'] = Pr(S_{t+1} = s' | S_t = s, A_t = a)        R[s, a] = E[R_{t+1} | S_t = s, A_t = a]

A state is *terminal* when every action stays in it for ever with reward zero: entering it ends the
episode (Sutton and Barto 2018, section 3.4). Tabular environments over these are in `tabular`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metarl_lite.checks import check_count, real_array

ROW_TOLERANCE = 1e-8  # how far a row of probabilities may be from summing to one


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite MDP; its arrays are copied, float64 and read-only.

    `P` (S, A, S) transition probabilities, `R` (S, A) mean rewards, `gamma` in [0, 1], `start` (S,)
    the distribution of the first state; without it, uniform over the states that are not terminal.

    Raises ValueError naming the row or value that is wrong; `gamma == 1` is refused where some
    policy can avoid the terminal states for ever, because its return need not exist.
    """

    P: np.ndarray
    R: np.ndarray
    gamma: float
    start: np.ndarray | None = None

    def __post_init__(self) -> None:
        P, R = real_array("P", self.P), real_array("R", self.R)
        if P.ndim != 3 or P.shape[0] != P.shape[2] or P.size == 0:
            raise ValueError(f"P must have shape (S, A, S) with S, A >= 1, got {P.shape}")
        if R.shape != P.shape[:2]:
            raise ValueError(f"R must have shape (S, A) = {P.shape[:2]}, got {R.shape}")
        _check_rows(P)
        object.__setattr__(self, "P", P)
        object.__setattr__(self, "R", R)
        object.__setattr__(self, "gamma", self._checked_gamma())
        object.__setattr__(self, "start", self._checked_start())

    def _checked_gamma(self) -> float:
        gamma = real_array("gamma", self.gamma)
        if gamma.ndim != 0 or not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be one number in [0, 1], got {self.gamma!r}")
        endless = np.flatnonzero(_can_avoid_the_end(self.P, self.terminal))
        if gamma == 1 and endless.size:
            raise ValueError(
                f"gamma is 1, but from state {endless[0]} an episode need not end: some policy "
                f"stays for ever among the states {endless.tolist()}; take gamma < 1"
            )
        return float(gamma)

    def _checked_start(self) -> np.ndarray:
        if self.start is None:
            begin = ~self.terminal if not self.terminal.all() else self.terminal
            return _read_only(begin / begin.sum())
        start = real_array("start", self.start)
        if start.shape != (self.num_states,):
            raise ValueError(
                f"start must have shape (S,) = ({self.num_states},), got {start.shape}"
            )
        if (start < 0).any() or abs(start.sum() - 1) > ROW_TOLERANCE:
            raise ValueError(f"start must be a distribution over states, got {start.tolist()}")
        return start

    @property
    def num_states(self) -> int:
        """S."""
        return self.P.shape[0]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.P.shape[1]

    @cached_property
    def terminal(self) -> np.ndarray:
        """(S,) bool: the states every action stays in for ever, with reward zero."""
        stays = np.einsum("sas->sa", self.P) >= 1 - ROW_TOLERANCE
        return _read_only((stays & (self.R == 0)).all(axis=1))


def sample_tasks(
    rng: np.random.Generator,
    num_tasks: int,
    *,
    num_states: int = 10,
    num_actions: int = 5,
    gamma: float = 0.99,
) -> tuple[MDP, ...]:
    """Draw `num_tasks` random MDPs as RL² does (Duan et al. 2016, section 3.2).

    Transition rows are Dirichlet(1), mean rewards N(1, 1); every episode starts in state 0.
    """
    for name, count in (
        ("num_tasks", num_tasks),
        ("num_states", num_states),
        ("num_actions", num_actions),
    ):
        check_count(name, count)
    P = rng.dirichlet(np.ones(num_states), size=(num_tasks, num_states, num_actions))
    R = rng.normal(1.0, 1.0, size=(num_tasks, num_states, num_actions))
    start = np.eye(num_states)[0]
    return tuple(MDP(p, r, gamma, start) for p, r in zip(P, R, strict=True))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _check_rows(P: np.ndarray) -> None:
    for state, action, next_state in np.argwhere(P < 0)[:1]:
        raise ValueError(
            f"P[{state}, {action}, {next_state}] = {P[state, action, next_state]} is negative; "
            "probabilities lie in [0, 1]"
        )
    for state, action in np.argwhere(abs(P.sum(axis=2) - 1) > ROW_TOLERANCE)[:1]:
        raise ValueError(
            f"P[{state}, {action}], the row of state {state} and action {action}, must sum to 1, "
            f"got {P[state, action].sum():.12g}"
        )


def _can_avoid_the_end(P: np.ndarray, terminal: np.ndarray) -> np.ndarray:
    """(S,) bool: the largest set of non-terminal states that some policy never leaves."""
    kept = ~terminal
    for _ in range(len(kept)):
        leaves = (P[:, :, ~kept] > 0).any(axis=2)  # (S, A)
        kept = kept & ~leaves.all(axis=1)
    return kept
