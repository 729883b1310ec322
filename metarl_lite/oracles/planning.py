"""Exact answers for finite MDPs: what learners are measured against.

    v_pi = r_pi + gamma P_pi v_pi                                   a linear system
    v_*  = max_a (R[., a] + gamma P[., a] v_*)                      a fixed point

All functions are pure. A policy is (S, A) probabilities, or (S,) int: one action a state. Value and
policy iteration as in Sutton and Barto (2018), chapter 4; their bounds as in Puterman (1994),
chapter 6.
"""

from dataclasses import dataclass

import numpy as np

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.mdp import MDP

POLICY_TOLERANCE = 1e-8


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved MDP: `v` (S,), `q` (S, A), greedy `policy` (S,) int, `history` (K, S) of values."""

    v: np.ndarray
    q: np.ndarray
    policy: np.ndarray
    history: np.ndarray


def follow(mdp: MDP, policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (P_pi (S, S), r_pi (S,)), the Markov chain and mean rewards that `policy` makes."""
    _check_mdp(mdp)
    probabilities = _action_probabilities(mdp, policy)
    P_pi = np.einsum("sa,sat->st", probabilities, mdp.P)
    return P_pi, (probabilities * mdp.R).sum(axis=1)


def evaluate_policy(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Return v_pi (S,), exactly: (I - gamma P_pi) v = r_pi, and v = 0 where it ends."""
    P_pi, r_pi = follow(mdp, policy)
    alive = np.flatnonzero(~mdp.terminal)
    v = np.zeros(mdp.num_states)
    system = np.eye(len(alive)) - mdp.gamma * P_pi[np.ix_(alive, alive)]
    v[alive] = np.linalg.solve(system, r_pi[alive])
    return v


def evaluate_policy_iteratively(
    mdp: MDP, policy: np.ndarray, *, num_sweeps: int, start_value: np.ndarray | None = None
) -> np.ndarray:
    """Return (num_sweeps + 1, S): `start_value` (zeros) and v <- r_pi + gamma P_pi v each sweep."""
    check_count("num_sweeps", num_sweeps, least=0)
    P_pi, r_pi = follow(mdp, policy)
    history = [_start_value(mdp, start_value)]
    for _ in range(num_sweeps):
        history.append(r_pi + mdp.gamma * P_pi @ history[-1])
    return np.stack(history)


def q_from_v(mdp: MDP, v: np.ndarray) -> np.ndarray:
    """Return q (S, A): the reward now plus the discounted value of where the action leads."""
    _check_mdp(mdp)
    return mdp.R + mdp.gamma * mdp.P @ _start_value(mdp, v)


def greedy(q: np.ndarray) -> np.ndarray:
    """Return the first best action of each state: (..., S, A) -> (..., S) int."""
    q = real_array("q", q)
    if q.ndim == 0 or q.shape[-1] == 0:
        raise ValueError(f"q must have an axis of at least one action, got shape {q.shape}")
    return q.argmax(axis=-1)


def value_iteration(
    mdp: MDP,
    *,
    tolerance: float = 1e-8,
    start_value: np.ndarray | None = None,
    max_sweeps: int = 100_000,
) -> Solution:
    """Return the optimal solution, every value within `tolerance`, with all sweeps in `history`.

    For gamma < 1 it stops once a sweep changes no value by more than tolerance * (1 - gamma), which
    bounds the error by the contraction; for gamma = 1 once by no more than `tolerance` itself.
    """
    _check_mdp(mdp)
    check_count("max_sweeps", max_sweeps)
    if not real_array("tolerance", tolerance) > 0:
        raise ValueError(f"tolerance must be positive, got {tolerance!r}")
    smallest_change = tolerance * (1 - mdp.gamma) if mdp.gamma < 1 else tolerance
    history = [_start_value(mdp, start_value)]
    for _ in range(max_sweeps):
        history.append(q_from_v(mdp, history[-1]).max(axis=1))
        if abs(history[-1] - history[-2]).max() <= smallest_change:
            q = q_from_v(mdp, history[-1])
            return Solution(history[-1], q, greedy(q), np.stack(history))
    raise ValueError(
        f"value iteration with gamma={mdp.gamma} did not reach tolerance={tolerance} in "
        f"max_sweeps={max_sweeps}; policy_iteration needs no tolerance"
    )


def policy_iteration(mdp: MDP, *, start_policy: np.ndarray | None = None) -> Solution:
    """Return the optimal solution; `history` holds the exact value of every policy on the way.

    An action changes only where another is better by more than rounding, so it always stops.
    """
    _check_mdp(mdp)
    policy = np.zeros(mdp.num_states, dtype=int) if start_policy is None else start_policy
    policy = greedy(_action_probabilities(mdp, policy))
    states, history = np.arange(mdp.num_states), []
    while True:
        history.append(evaluate_policy(mdp, policy))
        q = q_from_v(mdp, history[-1])
        rounding = 1e-12 * (1 + abs(q).max())
        better = q.max(axis=1) > q[states, policy] + rounding
        if not better.any():
            return Solution(history[-1], q, policy, np.stack(history))
        policy = np.where(better, greedy(q), policy)


def _check_mdp(mdp: MDP) -> None:
    if not isinstance(mdp, MDP):
        raise ValueError(f"mdp must be an MDP, got {mdp!r}")


def _start_value(mdp: MDP, v: np.ndarray | None) -> np.ndarray:
    if v is None:
        return np.zeros(mdp.num_states)
    v = real_array("values", v)
    if v.shape != (mdp.num_states,):
        raise ValueError(f"values must have shape (S,) = ({mdp.num_states},), got {v.shape}")
    return v


def _action_probabilities(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Return `policy` as (S, A) probabilities; ValueError names the state where it is none."""
    policy = np.asarray(policy)
    if policy.shape == (mdp.num_states,) and policy.dtype.kind in "iu":
        for state in np.flatnonzero((policy < 0) | (policy >= mdp.num_actions))[:1]:
            raise ValueError(
                f"policy[{state}] = {policy[state]} is no action of 0..{mdp.num_actions - 1}"
            )
        return np.eye(mdp.num_actions)[policy]
    probabilities = real_array("policy", policy)
    if probabilities.shape != mdp.R.shape:
        raise ValueError(
            f"policy must be (S, A) = {mdp.R.shape} probabilities or ({mdp.num_states},) int, "
            f"got {policy.dtype} of shape {policy.shape}"
        )
    wrong = (probabilities < 0).any(axis=1) | (
        abs(probabilities.sum(axis=1) - 1) > POLICY_TOLERANCE
    )
    for state in np.flatnonzero(wrong)[:1]:
        raise ValueError(
            f"policy[{state}] must be a distribution over actions, got {policy[state].tolist()}"
        )
    return probabilities
