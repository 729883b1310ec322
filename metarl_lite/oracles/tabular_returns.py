"""Exact returns of many finite MDPs at once: where Q-values lead, on the way to the best there is.

All tensors are float64, with the tasks in front. What `planning` says of one MDP, in one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from metarl_lite.checks import real_array
from metarl_lite.envs.mdp import MDP
from metarl_lite.oracles.planning import policy_iteration


@dataclass(frozen=True, eq=False)
class Yardstick:
    """MDPs in one batch, with the expected returns (task,) of random and of optimal behaviour."""

    P: Tensor  # (task, S, A, S)
    R: Tensor  # (task, S, A)
    gamma: float
    start: Tensor  # (task, S)
    random: Tensor
    optimal: Tensor


def yardstick(mdps: Sequence[MDP]) -> Yardstick:
    """Return the batch of `mdps`, which must share S, A and a gamma below 1."""
    if not len(mdps) or not all(isinstance(mdp, MDP) for mdp in mdps):
        raise ValueError(f"mdps must be a sequence of at least one MDP, got {mdps!r}")
    if len({(mdp.R.shape, mdp.gamma) for mdp in mdps}) > 1 or mdps[0].gamma == 1:
        raise ValueError("all MDPs must share numbers of states and actions and a gamma below 1")
    P, R, start = (
        torch.tensor(np.stack([getattr(m, x) for m in mdps])) for x in ("P", "R", "start")
    )
    best = torch.tensor([mdp.start @ policy_iteration(mdp).v for mdp in mdps])
    uniform = torch.full(R.shape, 1 / R.shape[2], dtype=torch.float64)
    return Yardstick(
        P, R, mdps[0].gamma, start, _returns(P, R, mdps[0].gamma, start, uniform), best
    )


def expected_returns(tasks: Yardstick, policy: Tensor) -> Tensor:
    """Return J (task,) of policies (task, S, A) of probabilities, differentiable by them."""
    if policy.shape != tasks.R.shape:
        raise ValueError(f"policy must be {tuple(tasks.R.shape)}, got {tuple(policy.shape)}")
    return _returns(tasks.P, tasks.R, tasks.gamma, tasks.start, policy.double())


def share_of_optimal(tasks: Yardstick, q: Tensor, *, temperature: float = 0.0) -> Tensor:
    """Return how much of the way from random to optimal return `q` (task, S, A) goes, (task,).

    It is followed greedily, or, for a positive temperature, by the softmax of q / temperature,
    which has a derivative by q.
    """
    if not real_array("temperature", temperature) >= 0:
        raise ValueError(f"temperature must be at least 0, got {temperature!r}")
    if temperature:
        policy = (q.double() / temperature).softmax(dim=-1)
    else:
        policy = one_hot(q.argmax(dim=-1), q.shape[-1])
    gained = expected_returns(tasks, policy) - tasks.random
    return gained / (tasks.optimal - tasks.random)


def _returns(P: Tensor, R: Tensor, gamma: float, start: Tensor, policy: Tensor) -> Tensor:
    P_pi = torch.einsum("nsa,nsat->nst", policy, P)
    system = torch.eye(P.shape[1], dtype=torch.float64) - gamma * P_pi
    return (start * torch.linalg.solve(system, (policy * R).sum(dim=-1))).sum(dim=-1)
