"""Optimizers as functions of gradients, the hand-made ones, and the problems they are given.

    step, memory = update(gradient, memory)        theta <- theta + step

A learned optimizer has the same form (see `learned_optimizer`). Axes: (agent, coordinate); agents
never mix.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import trange

from metarl_lite.checks import check_count, real_array

TINY = 1e-8


@dataclass(frozen=True, eq=False)
class Problem:
    """Something to be minimised by many agents at once, each its own.

    `theta` (agent, D) is where they start, `kind` (D,) int says what each coordinate is.
    `gradient(theta)` gives (agent, D) and the training loss (agent,); `score(theta)`, (agent,), is
    what the meta-learner minimises.
    """

    theta: Tensor
    kind: Tensor
    gradient: Callable[[Tensor], tuple[Tensor, Tensor]]
    score: Callable[[Tensor], Tensor]


class Optimizer(NamedTuple):
    """`start(problem)` gives the first memory; `update(gradient, memory)` a step and the next."""

    start: Callable[[Problem], Any]
    update: Callable[[Tensor, Any], tuple[Tensor, Any]]


def sgd(lr: float) -> Optimizer:
    """Return gradient descent: it remembers nothing."""
    _check_lr(lr)
    return Optimizer(lambda problem: None, lambda gradient, memory: (-lr * gradient, memory))


def momentum(lr: float, *, beta: float = 0.9) -> Optimizer:
    """Return gradient descent with (heavy-ball) momentum, m <- beta m + g, as torch.optim.SGD."""
    _check_lr(lr)

    def update(gradient: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        m = beta * m + gradient
        return -lr * m, m

    return Optimizer(lambda problem: torch.zeros_like(problem.theta), update)


def rmsprop(lr: float, *, beta: float = 0.99) -> Optimizer:
    """Return RMSprop: the gradient over its root mean square, as torch.optim.RMSprop."""
    _check_lr(lr)

    def update(gradient: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        v = beta * v + (1 - beta) * gradient**2
        return -lr * gradient / (v.sqrt() + TINY), v

    return Optimizer(lambda problem: torch.zeros_like(problem.theta), update)


def adam(lr: float, *, betas: tuple[float, float] = (0.9, 0.999)) -> Optimizer:
    """Return Adam (Kingma and Ba 2015, arXiv:1412.6980), as torch.optim.Adam."""
    _check_lr(lr)

    def update(gradient: Tensor, memory: tuple) -> tuple[Tensor, tuple]:
        m, v, k = memory
        m, v, k = (
            betas[0] * m + (1 - betas[0]) * gradient,
            betas[1] * v + (1 - betas[1]) * gradient**2,
            k + 1,
        )
        m_hat, v_hat = m / (1 - betas[0] ** k), v / (1 - betas[1] ** k)
        return -lr * m_hat / (v_hat.sqrt() + TINY), (m, v, k)

    def start(problem: Problem) -> tuple:
        return torch.zeros_like(problem.theta), torch.zeros_like(problem.theta), 0

    return Optimizer(start, update)


def follow(
    optimizer: Optimizer,
    problem: Problem,
    num_updates: int,
    *,
    score_every: int = 1,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return scores (num_updates // score_every + 1, agent) and losses (num_updates, agent).

    The first score is that of the start; nothing is differentiated.
    """
    check_count("num_updates", num_updates)
    check_count("score_every", score_every)
    with torch.no_grad():
        theta, memory = problem.theta, optimizer.start(problem)
        scores, losses = [problem.score(theta)], []
        for k in trange(1, num_updates + 1, disable=not progress, leave=False):
            gradient, loss = problem.gradient(theta)
            step, memory = optimizer.update(gradient, memory)
            theta = theta + step
            losses.append(loss)
            if k % score_every == 0:
                scores.append(problem.score(theta))
    return torch.stack(scores), torch.stack(losses)


def _check_lr(lr: float) -> None:
    if not real_array("lr", lr) >= 0:
        raise ValueError(f"lr must be at least 0, got {lr!r}")
