"""MAML (Finn et al. 2017, arXiv:1703.03400): adapting returns new parameters, never mutates.

    phi_i = theta - alpha grad L(theta, support_i)               inner loop, inner_steps times
    minimise over theta   E_i[ L(phi_i, query_i) ]               outer loop, through the inner one

Parameters are dictionaries, as torch.func has them, and one task's loss is written once, without
a task axis. Axes: (seed, task, point, feature).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap
from tqdm import tqdm

from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive, is_share
from metarl_lite.nets import num_copies

Params = dict[str, Tensor]
Loss = Callable[[Params, Tensor], Tensor]  # one task's data -> scalar
Batch = Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]  # num_tasks -> support, query
SeedLosses = Callable[[Params, Tensor, Tensor, "MAMLConfig"], Tensor]  # with seed axes -> (seed,)


@dataclass(frozen=True)
class MAMLConfig:
    """Defaults train the sinusoid family in seconds on a CPU."""

    inner_lr: float = 0.01  # alpha, within a task
    inner_steps: int = 1  # 0: no adaptation, which is joint training
    outer_lr: float = 1e-3  # beta, Adam's across tasks
    final_share: float = 1.0  # of outer_lr after the last iteration, to which it falls linearly
    first_order: bool = False  # FOMAML: drop second derivatives
    tasks_per_batch: int = 25
    iterations: int = 10_000

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self,
            inner_lr=is_not_negative,
            inner_steps=is_not_negative,
            outer_lr=is_positive,
            final_share=is_share,
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


def mlp_losses(params: Params, support: Tensor, query: Tensor, config: MAMLConfig) -> Tensor:
    """Return `meta_loss` (seed,) of `nets.mlp` and squared error, for at most one inner step.

    The gradient of a layer's weights on K points is a sum of K outer products, of what went in (h)
    and what came back (d). So the adapted layer at z is that of theta minus alpha (z h' + 1) d, the
    1 for the bias, and no task needs weights of its own. Data are (seed, task, point, in + out).
    """
    if config.inner_steps > 1:
        raise ValueError(f"inner_steps must be 0 or 1 here, got {config.inner_steps}")
    values = list(params.values())
    layers = list(zip(values[::2], values[1::2], strict=True))
    num_inputs = layers[0][0].shape[1]
    tasks = support.shape[:2].numel()

    def by_task(x: Tensor) -> Tensor:
        return x.reshape(tasks, -1, x.shape[-1])

    inputs, returned = _forward_and_back(
        layers, support.flatten(1, 2), num_inputs, support.shape[2]
    )
    if config.first_order:
        inputs, returned = ([x.detach() for x in xs] for xs in (inputs, returned))
    z, target = query.flatten(1, 2).tensor_split([num_inputs], dim=-1)
    for (weight, bias), h, d in zip(layers, inputs, returned, strict=True):
        shared = torch.baddbmm(bias, z, weight)
        if config.inner_steps:
            step = (by_task(z) @ by_task(h).mT + 1) @ by_task(d)
            shared = shared - config.inner_lr * step.view_as(shared)
        z = shared.relu()
    return (shared - target).square().mean(dim=(1, 2))


def _forward_and_back(layers, data, num_inputs, num_points):
    """Return what enters each layer, and the gradient by what leaves it (before the ReLU)."""
    x, target = data.tensor_split([num_inputs], dim=-1)
    inputs = []
    for weight, bias in layers:
        inputs.append(x)
        out = torch.baddbmm(bias, x, weight)
        x = out.relu()
    gradient = 2 / (num_points * target.shape[-1]) * (out - target)
    returned = [gradient]
    for (weight, _), h in zip(layers[:0:-1], inputs[:0:-1], strict=True):
        returned.insert(0, (returned[0] @ weight.mT) * (h > 0))
    return inputs, returned


def top_curvature(loss: Loss, params: Params, data: Tensor, *, num_iterations: int = 20) -> Tensor:
    """Return the Hessian's eigenvalue of largest modulus: the limit of steps is 2 over it.

    Power iteration, begun at the gradient; the Hessian is never formed.
    """
    check_count("num_iterations", num_iterations)

    def slope_along(params: Params, unit: Params) -> Tensor:
        return sum((g * unit[name]).sum() for name, g in grad(loss)(params, data).items())

    direction = grad(loss)(params, data)
    for _ in range(num_iterations):
        norm = sum(d.square().sum() for d in direction.values()).sqrt()
        unit = {name: d / norm.clamp(min=1e-30) for name, d in direction.items()}
        direction = grad(slope_along)(params, unit)  # Hessian times unit
    return sum((unit[name] * d).sum() for name, d in direction.items())


def learn(
    loss: Loss,
    params: Params,
    sample_batch: Batch,
    config: MAMLConfig = MAMLConfig(),
    *,
    seed: int,
    snapshot_every: int,
    seed_losses: SeedLosses | None = None,
    progress: bool = False,
) -> Iterator[MAMLResult]:
    """Yield what training has come to after every `snapshot_every` iterations, and at its end.

    The arguments are those of `train`; each snapshot is a copy, with all losses so far.
    """
    check_count("snapshot_every", snapshot_every)
    num_seeds = num_copies(params)
    params = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    optimizer = torch.optim.Adam(params.values(), lr=config.outer_lr, fused=True)
    decay = torch.optim.lr_scheduler.LinearLR(
        optimizer, 1.0, config.final_share, total_iters=config.iterations
    )
    rng = np.random.default_rng(seed)
    losses = np.empty((config.iterations, num_seeds))  # a list of small tensors pins memory
    if seed_losses is None:
        seed_losses = vmap(partial(meta_loss, loss), in_dims=(0, 0, 0, None))

    for i in tqdm(range(1, config.iterations + 1), disable=not progress, leave=False):
        batch = sample_batch(rng, num_seeds * config.tasks_per_batch)
        support, query = (data.unflatten(0, (num_seeds, -1)) for data in batch)
        value = seed_losses(params, support, query, config)
        optimizer.zero_grad()
        value.sum().backward()  # seeds share no parameter: their gradients stay apart
        optimizer.step()
        decay.step()
        losses[i - 1] = value.detach()
        if i % snapshot_every == 0 or i == config.iterations:
            copies = {name: p.detach().clone() for name, p in params.items()}
            yield MAMLResult(copies, losses[:i].copy())


def train(
    loss: Loss,
    params: Params,
    sample_batch: Batch,
    config: MAMLConfig = MAMLConfig(),
    *,
    seed: int,
    seed_losses: SeedLosses | None = None,
    progress: bool = False,
) -> MAMLResult:
    """Return meta-trained copies of `params`, whose leading axis is the seed.

    `sample_batch(rng, num_tasks)` draws support and query data, both with a leading task axis.
    Every seed sees its own tasks. `seed_losses` is a faster equivalent of `meta_loss` on `loss`,
    with seed axes, such as `mlp_losses`.
    """
    rest = {"seed": seed, "seed_losses": seed_losses, "progress": progress}
    *_, result = learn(loss, params, sample_batch, config, snapshot_every=config.iterations, **rest)
    return result
