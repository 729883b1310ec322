"""Exact policy gradients of finite MDPs: what sampled estimates are measured against.

A policy is `logits` (S, A), a float64 tensor; pi(a | s) is their softmax along the last axis. All
results are float64 tensors that autograd can differentiate by the logits.

    v = r_pi + gamma P_pi v                 J = sum_s start(s) v(s)
    grad J = sum_s eta(s) sum_a q(s, a) grad pi(a | s)      eta(s) = sum_t gamma^t Pr(S_t = s)

The second line is theorem 1 of Sutton et al. (1999), in the discounted case.
"""

import torch
from torch import Tensor

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.mdp import MDP


def values(mdp: MDP, logits: Tensor, *, num_steps: int | None = None) -> Tensor:
    """Return v (S,), 0 where the episode ends; only of the first `num_steps` rewards if given."""
    P_pi, r_pi, _ = _follow(mdp, logits)
    if num_steps is None:
        return _solve(mdp, mdp.gamma * P_pi, r_pi)
    check_count("num_steps", num_steps)
    v = torch.zeros_like(r_pi)
    for _ in range(num_steps):
        v = r_pi + mdp.gamma * P_pi @ v
    return v


def action_values(mdp: MDP, logits: Tensor) -> Tensor:
    """Return q (S, A): the reward now plus the discounted value of where the action leads."""
    v = values(mdp, logits)
    return torch.tensor(mdp.R) + mdp.gamma * torch.tensor(mdp.P) @ v


def occupancy(mdp: MDP, logits: Tensor, *, gamma: float | None = None) -> Tensor:
    """Return eta (S,), the expected sum of gamma^t over the visits to each state, 0 where it ends.

    `gamma` is the MDP's own unless given. Raises ValueError for gamma 1 where some state never
    leads to an end: the number of visits is then infinite.
    """
    P_pi, _, _ = _follow(mdp, logits)
    gamma = float(real_array("gamma", mdp.gamma if gamma is None else gamma))
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma!r}")
    ends = mdp.terminal
    for _ in range(mdp.num_states):
        ends = ends | (mdp.P.sum(axis=1) @ ends > 0)
    if gamma == 1 and not ends.all():
        raise ValueError(f"gamma is 1, but state {ends.argmin()} never leads to an end")
    return _solve(mdp, gamma * P_pi.T, torch.tensor(mdp.start))


def gradient(mdp: MDP, logits: Tensor, *, num_steps: int | None = None) -> Tensor:
    """Return grad J (S, A), differentiated through `values`."""
    _check(mdp, logits)
    logits = logits.detach().requires_grad_()
    J = torch.tensor(mdp.start) @ values(mdp, logits, num_steps=num_steps)
    return torch.autograd.grad(J, logits)[0]


def theorem(mdp: MDP, logits: Tensor, *, weight_gamma: float | None = None) -> Tensor:
    """Return the right side of the policy gradient theorem (S, A), differentiable by the logits.

    For a softmax it is eta(s) pi(a | s) (q(s, a) - v(s)). With `weight_gamma` 1 the states weigh
    as an estimator weighs them that drops the factor gamma^t: it is then no gradient of J.
    """
    _, _, pi = _follow(mdp, logits)
    advantage = action_values(mdp, logits) - values(mdp, logits)[:, None]
    return occupancy(mdp, logits, gamma=weight_gamma)[:, None] * pi * advantage


def _follow(mdp: MDP, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return P_pi (S, S), r_pi (S,) and pi (S, A)."""
    _check(mdp, logits)
    pi = logits.softmax(dim=-1)
    P, R = torch.tensor(mdp.P), torch.tensor(mdp.R)
    return torch.einsum("sa,sat->st", pi, P), (pi * R).sum(dim=-1), pi


def _check(mdp: MDP, logits: Tensor) -> None:
    if not isinstance(mdp, MDP):
        raise ValueError(f"mdp must be an MDP, got {mdp!r}")
    if not isinstance(logits, Tensor) or logits.dtype != torch.float64:
        raise ValueError(f"logits must be a float64 tensor, got {logits!r}")
    if logits.shape != mdp.R.shape or not logits.isfinite().all():
        raise ValueError(f"logits must be finite, (S, A) = {mdp.R.shape}, got {logits!r}")


def _solve(mdp: MDP, matrix: Tensor, right: Tensor) -> Tensor:
    """Return x (S,) with x = right + matrix x among the states that go on, 0 elsewhere."""
    alive = torch.tensor(~mdp.terminal).nonzero().squeeze(-1)
    system = torch.eye(len(alive), dtype=torch.float64) - matrix[alive][:, alive]
    solved = torch.linalg.solve(system, right[alive])
    return torch.zeros_like(right).index_copy(0, alive, solved)
