"""Reptile (Nichol et al. 2018, arXiv:1803.02999): train on a task, then move towards the result.

    phi_i = theta after inner_steps optimizer steps, each on its own minibatch of task i
    theta <- theta + epsilon mean_i(phi_i - theta)          epsilon falls linearly while training

Nothing is differentiated twice, and the inner steps keep no graph. Parameters are dictionaries, as
torch.func has them, and one task's loss is written once, without a task axis. Axes: (seed, task,
inner step, point, feature).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from tqdm import tqdm

from metarl_lite.checks import check_config, is_not_negative, is_positive
from metarl_lite.nets import num_copies

Params = dict[str, Tensor]
Loss = Callable[[Params, Tensor], Tensor]  # one minibatch of one task -> scalar
Batch = Callable[[np.random.Generator, int], Tensor]  # num_tasks -> (task, inner step, ...)


@dataclass(frozen=True)
class ReptileConfig:
    """Defaults train the sinusoid family in seconds on a CPU."""

    inner_lr: float = 0.02  # alpha, within a task
    inner_steps: int = 5  # 1: joint training
    inner_optimizer: str = "sgd"  # or "adam", with beta1 = 0 and beta2 = 0.999, fresh in each task
    outer_lr: float = 1.0  # epsilon in the first iteration: the share of the way to go
    final_outer_lr: float = 0.0  # epsilon after the last one
    tasks_per_batch: int = 5
    iterations: int = 5_000

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self,
            inner_lr=is_not_negative,
            inner_optimizer=("sgd", "adam").__contains__,
            outer_lr=is_positive,
            final_outer_lr=is_not_negative,
        )


@dataclass(frozen=True, eq=False)
class ReptileResult:
    """`params` with their leading seed axis, and losses (iteration, seed) on the way.

    A loss is that of the last minibatch before its step: after inner_steps - 1 steps on others.
    """

    params: Params
    losses: np.ndarray


def adapt(loss: Loss, params: Params, minibatches: Tensor, config: ReptileConfig) -> Params:
    """Return `params` after one inner step on each of `minibatches` (inner step, ...) of one task.

    Raises ValueError unless there are `inner_steps` of them.
    """
    return _adapt(loss, params, minibatches, config)[0]


def train(
    loss: Loss,
    params: Params,
    sample_batch: Batch,
    config: ReptileConfig = ReptileConfig(),
    *,
    seed: int,
    progress: bool = False,
) -> ReptileResult:
    """Return meta-trained copies of `params`, whose leading axis is the seed.

    `sample_batch(rng, num_tasks)` draws minibatches (task, inner step, ...). Every seed sees its
    own tasks.
    """
    num_seeds = num_copies(params)
    params = {name: p.detach().clone() for name, p in params.items()}
    rng = np.random.default_rng(seed)
    losses = np.empty((config.iterations, num_seeds))  # a list of small tensors pins memory

    def of_one_task(params: Params, minibatches: Tensor) -> tuple[Params, Tensor]:
        return _adapt(loss, params, minibatches, config)

    for i in tqdm(range(config.iterations), disable=not progress, leave=False):
        batch = sample_batch(rng, num_seeds * config.tasks_per_batch)
        starts = {n: p.repeat_interleave(config.tasks_per_batch, dim=0) for n, p in params.items()}
        with torch.no_grad():  # torch.func.grad within it still differentiates
            adapted, last_losses = vmap(of_one_task)(starts, batch)
        done = i / config.iterations
        epsilon = (1 - done) * config.outer_lr + done * config.final_outer_lr
        for name, p in params.items():
            mean = adapted[name].unflatten(0, (num_seeds, -1)).mean(dim=1)
            params[name] = p + epsilon * (mean - p)
        losses[i] = last_losses.unflatten(0, (num_seeds, -1)).mean(dim=1)
    return ReptileResult(params, losses)


def _adapt(
    loss: Loss, params: Params, minibatches: Tensor, config: ReptileConfig
) -> tuple[Params, Tensor]:
    if minibatches.shape[0] != config.inner_steps:
        raise ValueError(
            f"minibatches need inner_steps = {config.inner_steps} on their first axis, "
            f"got shape {tuple(minibatches.shape)}"
        )
    squares = {name: torch.zeros_like(p) for name, p in params.items()}  # Adam's running mean
    for step, minibatch in enumerate(minibatches, start=1):
        grads, value = grad_and_value(loss)(params, minibatch)
        if config.inner_optimizer == "adam":
            squares = {n: 0.999 * s + 0.001 * grads[n] ** 2 for n, s in squares.items()}
            unbiased = 1 - 0.999**step
            grads = {n: g / ((squares[n] / unbiased).sqrt() + 1e-8) for n, g in grads.items()}
        params = {name: p - config.inner_lr * grads[name] for name, p in params.items()}
    return params, value
