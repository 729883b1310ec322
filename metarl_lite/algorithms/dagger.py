"""DAgger with a teacher that is told the task (Ross et al. 2011, arXiv:1011.0686).

A student with a memory plays trials of its own (see `trials`). At every step the teacher, who sees
the task, says what it would do there, and the student learns to do the same from what it can see
and remember:

    minimise  - sum_a pi_teacher(a | S, task) log pi_student(a | history)

so that it must find out the task from its history. Kumar et al. (2021, arXiv:2107.04034) teach a
walking robot's student so. Axes: (time, task, feature), with time running over the trial.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from metarl_lite.checks import check_config, is_not_negative, is_positive
from metarl_lite.envs.family import TaskFamily
from metarl_lite.nets import RecurrentActorCritic
from metarl_lite.trials import num_actions, play

Teacher = Callable[[Tensor, Any], Tensor]  # inputs (time, task, input), tasks -> logits


@dataclass(frozen=True)
class DaggerConfig:
    """Defaults teach Flappy Bird in any physics in about a minute."""

    iterations: int = 60
    num_tasks: int = 64  # fresh tasks an iteration
    num_steps: int = 1_024  # of a trial: as many games as it is to remember
    unroll: int = 64  # steps that a gradient passes back through
    batch_size: int = 64  # sequences of `unroll` steps a gradient step
    num_epochs: int = 2  # passes over the trials of an iteration
    lr: float = 8e-3  # Adam's, at the start
    final_lr: float = 1e-4  # reached linearly at the end
    max_grad_norm: float = 0.5  # longer gradients are cut to this length

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(self, lr=is_positive, final_lr=is_not_negative, max_grad_norm=is_positive)
        if self.num_steps % self.unroll:
            raise ValueError(
                f"num_steps, {self.num_steps}, must be a multiple of unroll, {self.unroll}"
            )


@dataclass(frozen=True, eq=False)
class DaggerResult:
    """A network, and how far it was from its teacher, (iteration,) mean cross-entropy in nats."""

    net: RecurrentActorCritic
    losses: np.ndarray


def imitation_loss(logits: Tensor, teacher_probs: Tensor) -> Tensor:
    """Return the cross-entropy (...) of the softmax of `logits` (..., action) to the teacher's."""
    return -(teacher_probs * logits.log_softmax(dim=-1)).sum(dim=-1)


def sequences(x: Tensor, unroll: int) -> Tensor:
    """Return trials (time, task, ...) cut into pieces: (unroll, piece * task, ...)."""
    return x.unflatten(0, (-1, unroll)).transpose(0, 1).flatten(1, 2)


def learn(
    net: RecurrentActorCritic,
    teacher: Teacher,
    family: TaskFamily,
    config: DaggerConfig = DaggerConfig(),
    *,
    seed: int,
) -> Iterator[DaggerResult]:
    """Yield the live network and its last loss, every iteration; `net` itself stays as it is.

    An iteration plays one trial in each of fresh tasks, so the student meets the situations that
    its own mistakes lead to. Environments of `family` restart finished episodes within the step.
    """
    net = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, eps=1e-5, fused=True)
    for iteration in range(config.iterations):
        done = iteration / config.iterations
        optimizer.param_groups[0]["lr"] = config.lr + done * (config.final_lr - config.lr)
        tasks = family.sample_tasks(rng, config.num_tasks)
        env = family.make_env(tasks)
        inputs = play(net, env, num_steps=config.num_steps, generator=generator).inputs
        probs = _teacher_probs(teacher, inputs, tasks, num_actions(env))
        losses = [
            _update(net, optimizer, *batch, config)
            for batch in _batches(net, inputs, probs, config, generator)
        ]
        yield DaggerResult(net, np.array([np.mean(losses)]))


def train(
    net: RecurrentActorCritic,
    teacher: Teacher,
    family: TaskFamily,
    config: DaggerConfig = DaggerConfig(),
    *,
    seed: int,
    progress: bool = False,
) -> DaggerResult:
    """Return the network after `config.iterations`, and how its losses fell."""
    losses = []
    course = learn(net, teacher, family, config, seed=seed)
    for snapshot in tqdm(course, total=config.iterations, disable=not progress, leave=False):
        losses.append(snapshot.losses)
    return DaggerResult(snapshot.net, np.concatenate(losses))


def _teacher_probs(teacher: Teacher, inputs: Tensor, tasks: Any, num_actions: int) -> Tensor:
    """Return the teacher's probabilities (time, task, action) along the student's trials."""
    with torch.no_grad():
        logits = teacher(inputs, tasks)
    shape = (*inputs.shape[:2], num_actions)
    if logits.shape != shape:
        raise ValueError(f"teacher must return logits {shape}, got {tuple(logits.shape)}")
    return logits.softmax(dim=-1)


def _batches(
    net: RecurrentActorCritic, inputs: Tensor, probs: Tensor, config: DaggerConfig, generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (inputs, first states, teacher's probabilities) of pieces of trials, in random order.

    A piece begins with the state that the trial had come to, and no gradient passes into that.
    """
    with torch.no_grad():
        ends = net.states(inputs)[config.unroll - 1 :: config.unroll]
    first = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]]).flatten(0, 1)
    inputs, probs = (sequences(x, config.unroll) for x in (inputs, probs))
    for _ in range(config.num_epochs):
        order = torch.randperm(len(first), generator=generator)
        for rows in order.split(config.batch_size):
            yield inputs[:, rows], first[rows], probs[:, rows]


def _update(
    net, optimizer, inputs: Tensor, state: Tensor, probs: Tensor, config: DaggerConfig
) -> float:
    """Take one gradient step in place; return the loss before it."""
    logits, _ = net.heads(net.states(inputs, state))
    loss = imitation_loss(logits, probs).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), config.max_grad_norm)
    optimizer.step()
    return loss.item()
