"""An LSTM as an optimizer (Andrychowicz et al. 2016, arXiv:1606.04474).

It is one small network that every coordinate of theta runs for itself: the weights are
shared, the memory is not. In its Adam-like form (as in Lan et al. 2023, arXiv:2302.01470) its two
outputs a, b steer a normalised momentum, step = -lr exp(a) (m / sqrt(v) + b); in the plain form
of 2016 its first output is the step itself, times lr. Axes: (agent, coordinate); agents never mix.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from metarl_lite.algorithms.optimizers import TINY, Optimizer, Problem
from metarl_lite.checks import check_config, check_count, is_positive

DECAYS = (0.5, 0.9)  # of the momenta that the LSTM is shown; the first is the one it steers
SQUARE_DECAY = 0.95  # of the mean squared gradient
PATIENCE = 10.0  # p of the paper's appendix A: gradients below exp(-p) are shown linearly


@dataclass(frozen=True)
class OptimizerConfig:
    """Defaults suit a DQN agent with one hidden layer; the LSTM then has 702 weights."""

    hidden_size: int = 8
    lr: float = 0.03  # the scale of a step
    gain: float = 3.0  # of the two outputs: how fast they move in meta-training
    num_kinds: int = 4  # kinds of coordinates it can tell apart, such as weights and biases
    clock: int = 60  # updates that it is told of; past what it practised, time stands still
    adam_like: bool = True  # False: as in 2016, from the preprocessed gradient alone

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(self, lr=is_positive, gain=is_positive)


class Memory(NamedTuple):
    """What the LSTM carries from one update to the next."""

    hidden: Tensor  # (agent, hidden_size, D)
    cell: Tensor  # (agent, hidden_size, D)
    momenta: Tensor  # (agent, decays, D)
    square: Tensor  # (agent, 1, D)
    kind: Tensor  # (num_kinds, D), one-hot
    step: int


def initial_weights(config: OptimizerConfig = OptimizerConfig(), *, seed: int) -> Tensor:
    """Return the weights (P,) of a fresh LSTM.

    Its outputs are nearly zero: in the Adam-like form it starts as a plain Adam with rate lr.
    """
    check_count("seed", seed, least=0)
    generator = torch.Generator().manual_seed(seed)
    bound, parts = config.hidden_size**-0.5, []
    for name, shape in _shapes(config).items():
        part = torch.empty(shape).uniform_(-bound, bound, generator=generator)
        if name == "bias":
            part[config.hidden_size : 2 * config.hidden_size] += 1.0  # remember, to begin with
        elif name == "out":
            part *= 0.01
        elif name != "input" and name != "context":
            part.zero_()
        parts.append(part.flatten())
    return torch.cat(parts)


def learned(weights: Tensor, config: OptimizerConfig = OptimizerConfig()) -> Optimizer:
    """Return the LSTM with `weights` (P,), shared by all agents, or (agent, P), one for each."""
    shapes = _shapes(config)
    sizes = [math.prod(shape) for shape in shapes.values()]
    if weights.shape[-1:] != (sum(sizes),):
        raise ValueError(f"weights must be (..., {sum(sizes)}), got {tuple(weights.shape)}")
    parts = {
        name: part.unflatten(-1, shape)
        for (name, shape), part in zip(shapes.items(), weights.split(sizes, dim=-1), strict=True)
    }
    return Optimizer(
        lambda problem: _initial_memory(problem, config),
        lambda gradient, memory: _update(parts, gradient, memory, config),
    )


def preprocess(gradient: Tensor) -> Tensor:
    """Return (agent, 2, D): log size and sign of gradients (agent, D), both of order one.

    (log|g| / p, sign g) where |g| >= exp(-p), else (-1, exp(p) g): Andrychowicz et al., appendix A.
    """
    log = (gradient.abs() + math.exp(-4 * PATIENCE)).log() / PATIENCE
    large = log >= -1
    size = torch.where(large, log, -1.0)
    sign = torch.where(large, gradient.sign(), math.exp(PATIENCE) * gradient)
    return torch.stack([size, sign], dim=-2)


def _shapes(config: OptimizerConfig) -> dict[str, tuple[int, int]]:
    """Return the LSTM's weight matrices: inputs, then what does not depend on the gradient."""
    inputs = 4 + len(DECAYS) if config.adam_like else 2
    context = config.num_kinds + 2 if config.adam_like else 0
    gates = 4 * config.hidden_size
    return {
        "input": (gates, inputs + config.hidden_size),
        "context": (gates, context),
        "bias": (gates, 1),
        "out": (2, config.hidden_size),
        "out_context": (2, context),
        "out_bias": (2, 1),
    }


def _initial_memory(problem: Problem, config: OptimizerConfig) -> Memory:
    agents, size = problem.theta.shape
    empty = problem.theta.new_zeros(agents, config.hidden_size, size)
    kind = torch.nn.functional.one_hot(problem.kind, config.num_kinds).T.to(problem.theta)
    return Memory(
        empty, empty, empty.new_zeros(agents, len(DECAYS), size), empty[:, :1] * 0, kind, 0
    )


def _update(
    parts: dict[str, Tensor], gradient: Tensor, memory: Memory, config: OptimizerConfig
) -> tuple[Tensor, Memory]:
    """Return the step (agent, D) and the next memory."""
    k, g = memory.step + 1, gradient.unsqueeze(1)
    decays = torch.tensor(DECAYS, dtype=g.dtype)[:, None]
    momenta = torch.lerp(g, memory.momenta, decays)
    square = SQUARE_DECAY * memory.square + (1 - SQUARE_DECAY) * g**2
    root = (square / (1 - SQUARE_DECAY**k) + TINY**2).sqrt() + TINY
    normalised = torch.cat([g, momenta / (1 - decays**k)], dim=1) / root
    inputs = [preprocess(gradient)]
    if config.adam_like:
        inputs = [normalised, *inputs, root.log() / 5 + 1]
    context = _context(memory.kind, min(k, config.clock)) if config.adam_like else memory.kind[:0]
    gates = parts["context"] @ context + parts["bias"]
    gates = gates + parts["input"] @ torch.cat([*inputs, memory.hidden], dim=1)
    write, keep, show, new = gates.chunk(4, dim=1)
    cell = keep.sigmoid() * memory.cell + write.sigmoid() * _tanh(new)
    hidden = show.sigmoid() * _tanh(cell)
    out = parts["out"] @ hidden + (parts["out_context"] @ context + parts["out_bias"])
    a, b = (config.gain * out).unbind(dim=1)
    if config.adam_like:
        step = -config.lr * a.clamp(-8.0, 5.0).exp() * (normalised[:, 1] + b)
    else:
        step = config.lr * a
    return step, Memory(hidden, cell, momenta, square, memory.kind, k)


def _context(kind: Tensor, k: int) -> Tensor:
    """Return (num_kinds + 2, D): what a coordinate is, and how late it is, on two scales."""
    clock = kind.new_tensor([[math.log(k) / 3 - 1], [2 / (1 + math.exp(-k / 15)) - 1.5]])
    return torch.cat([kind, clock.expand(-1, kind.shape[1])])


def _tanh(x: Tensor) -> Tensor:
    """Return tanh by way of the sigmoid, which is several times faster on a CPU."""
    return 2 * (2 * x).sigmoid() - 1
