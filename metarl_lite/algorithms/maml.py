"""MAML (Finn et al. 2017, arXiv:1703.03400): adapting returns new parameters, never mutates.

    phi_i = theta - alpha grad L(theta, support_i)               inner loop, inner_steps times
    minimise over theta   E_i[ L(phi_i, query_i) ]               outer loop, through the inner one

Parameters are dictionaries, as torch.func has them, and one task's loss is written once, without
a task axis. Axes: (seed, task, point, feature).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap
from tqdm import tqdm

from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive

Params = dict[str, Tensor]
Loss = Callable[[Params, Tensor], Tensor]  # one task's data -> scalar
Batch = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]  # num_tasks -> support, query


@dataclass(frozen=True)
class MAMLConfig:
    """Defaults train the sinusoid family in seconds on a CPU."""

    inner_lr: float = 0.01  # alpha, within a task
    inner_steps: int = 1  # 0: no adaptation, which is joint training
    outer_lr: float = 1e-3  # beta, Adam's across tasks
    first_order: bool = False  # FOMAML: drop second derivatives
    tasks_per_batch: int = 25
    iterations: int = 10_000

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self, inner_lr=is_not_negative, inner_steps=is_not_negative, outer_lr=is_positive
        )


@dataclass(frozen=True, eq=False)
class MAMLResult:
    """`params` with their leading seed axis, and the meta-losses (iteration, seed) on the way."""

    params: Params
    losses: np.ndarray


def adapt(loss: Loss, params: Params, support: Tensor, config: MAMLConfig) -> Params:
    """Return `params` after `inner_steps` gradient steps on one task."""
    for _ in range(config.inner_steps):
        grads = grad(loss)(params, support)
        if config.first_order:
            grads = {name: g.detach() for name, g in grads.items()}
        params = {name: p - config.inner_lr * grads[name] for name, p in params.items()}
    return params


def meta_loss(
    loss: Loss, params: Params, support: Tensor, query: Tensor, config: MAMLConfig
) -> Tensor:
    """Return the mean post-adaptation query loss; both data sets have a leading task axis."""

    def task_loss(support: Tensor, query: Tensor) -> Tensor:
        return loss(adapt(loss, params, support, config), query)

    return vmap(task_loss)(support, query).mean()


def adaptation_losses(
    loss: Loss,
    params: Params,
    support: Tensor,
    query: Tensor,
    *,
    inner_lr: float,
    num_steps: int,
) -> Tensor:
    """Return query losses (num_steps + 1, task): before adaptation and after each step of it."""
    check_count("num_steps", num_steps, least=0)
    one_step = MAMLConfig(inner_lr=inner_lr)

    def task_losses(support: Tensor, query: Tensor) -> Tensor:
        adapted, losses = params, [loss(params, query)]
        for _ in range(num_steps):
            adapted = adapt(loss, adapted, support, one_step)
            losses.append(loss(adapted, query))
        return torch.stack(losses)

    with torch.no_grad():  # torch.func.grad within it still differentiates
        return vmap(task_losses, out_dims=1)(support, query)


def train(
    loss: Loss,
    params: Params,
    sample_batch: Batch,
    config: MAMLConfig = MAMLConfig(),
    *,
    seed: int,
    progress: bool = False,
) -> MAMLResult:
    """Return meta-trained copies of `params`, whose leading axis is the seed.

    `sample_batch(rng, num_tasks)` draws support and query data, both with a leading task axis.
    Every seed sees its own tasks.
    """
    num_seeds = _num_seeds(params)
    params = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    optimizer = torch.optim.Adam(params.values(), lr=config.outer_lr, fused=True)
    rng, losses = np.random.default_rng(seed), []

    def of_one_seed(params: Params, support: Tensor, query: Tensor) -> Tensor:
        return meta_loss(loss, params, support, query, config)

    for _ in tqdm(range(config.iterations), disable=not progress, leave=False):
        batch = sample_batch(rng, num_seeds * config.tasks_per_batch)
        support, query = (data.unflatten(0, (num_seeds, -1)) for data in batch)
        seed_losses = vmap(of_one_seed)(params, support, query)
        optimizer.zero_grad()
        seed_losses.sum().backward()  # seeds share no parameter: their gradients stay apart
        optimizer.step()
        losses.append(seed_losses.detach())
    params = {name: p.detach() for name, p in params.items()}
    return MAMLResult(params, torch.stack(losses).numpy())


def _num_seeds(params: Params) -> int:
    sizes = {name: p.shape[0] if p.ndim else 0 for name, p in params.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ValueError(f"all params need the same leading seed axis, got sizes {sizes}")
    return next(iter(sizes.values()))
