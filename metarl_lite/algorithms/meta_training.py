"""How a learned optimizer is trained: evolution strategies, or back-propagation through updates.

Both practise on fresh problems, follow each for `num_updates` updates, and change the LSTM's
weights with Adam after every `truncation` of them. The meta-loss is the mean score on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from metarl_lite.algorithms.learned_optimizer import Memory, OptimizerConfig, learned
from metarl_lite.algorithms.optimizers import Optimizer, Problem
from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive

MakeProblem = Callable[[int], Problem]  # seed -> fresh tasks, agents and experience
DEFAULTS = OptimizerConfig()
MAX_NORM = 1.0  # of a meta-gradient that was back-propagated


@dataclass(frozen=True)
class MetaConfig:
    """Defaults train an optimizer for small Q-networks by `evolve` in about a minute."""

    num_problems: int = 320
    num_updates: int = 60  # of the agents, on each problem
    truncation: int = 60  # updates of the agents between two of the meta-learner
    lr: float = 0.06  # of the meta-learner's Adam, falling linearly
    final_lr: float = 0.005
    score_every: int = 5  # updates
    noise: float = 0.05  # evolution strategies: standard deviation of the weights' perturbation
    persistent: bool = True  # evolution strategies: perturbations count on after a truncation
    worst: float = 10.0  # a score that is no number, or larger, counts as this: it has diverged
    second_order: bool = False  # back-propagation: also through the agents' gradients

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(self, lr=is_positive, final_lr=is_not_negative, noise=is_positive)
        if self.num_updates % self.truncation or self.truncation % self.score_every:
            raise ValueError(
                "num_updates must be a multiple of truncation, and that of score_every, got "
                f"{self.num_updates}, {self.truncation} and {self.score_every}"
            )


@dataclass(frozen=True, eq=False)
class MetaResult:
    """The trained `weights` (P,), and the meta-loss (meta-update,) on the way."""

    weights: Tensor
    losses: np.ndarray


def evolve(
    weights: Tensor,
    make_problem: MakeProblem,
    config: MetaConfig = MetaConfig(),
    optimizer_config: OptimizerConfig = DEFAULTS,
    *,
    seed: int,
    progress: bool = False,
) -> MetaResult:
    """Return `weights` trained by evolution strategies (Salimans et al. 2017, arXiv:1703.03864).

    Each agent tries weights of its own, w + e, and again w - e on the same problem with the same
    chance (antithetic); the gradient is the mean of e (score(w + e) - score(w - e)) / (2 noise^2).
    With truncations e is the sum of all perturbations since the problem began (PES, Vicol et al.
    2021), else the last one.
    """

    def train(learner: _Learner, problem_seed: int, generator: torch.Generator) -> None:
        problems = [make_problem(problem_seed) for _ in range(2)]
        shape = len(problems[0].theta), len(weights)
        states, past = [(problem.theta, None) for problem in problems], torch.zeros(shape)
        for _ in range(config.num_updates // config.truncation):
            e = config.noise * torch.randn(shape, generator=generator)
            with torch.no_grad():
                for i, sign in enumerate((1, -1)):
                    tried = learner.weights + sign * e
                    states[i] = unroll(
                        learned(tried, optimizer_config), problems[i], *states[i], config
                    )
                scores = [state[2] for state in states]
                past = past + e if config.persistent else e
                slope = (scores[0] - scores[1]) / (2 * config.noise**2)
                learner.step((slope[:, None] * past).mean(dim=0), (scores[0] + scores[1]) / 2)
            states = [state[:2] for state in states]

    return _meta_train(weights, train, config, seed=seed, progress=progress)


def backpropagate(
    weights: Tensor,
    make_problem: MakeProblem,
    config: MetaConfig = MetaConfig(),
    optimizer_config: OptimizerConfig = DEFAULTS,
    *,
    seed: int,
    progress: bool = False,
) -> MetaResult:
    """Return `weights` trained by truncated back-propagation through the unrolled updates.

    Without `second_order` the agents' gradients count as inputs that do not depend on the weights
    (Andrychowicz et al. 2016). The score must have a derivative by theta.
    """

    def train(learner: _Learner, problem_seed: int, generator: torch.Generator) -> None:
        problem = make_problem(problem_seed)
        state = problem.theta, None
        for _ in range(config.num_updates // config.truncation):
            w = learner.weights.clone().requires_grad_()
            optimizer = learned(w, optimizer_config)
            *state, score = unroll(optimizer, problem, *state, config)
            (gradient,) = torch.autograd.grad(score.mean(), w)
            state = [_detached(x) for x in state]
            norm = gradient.norm()
            if not norm.isfinite():
                gradient, norm = torch.zeros_like(gradient), torch.tensor(1.0)
            learner.step(gradient * (MAX_NORM / norm).clamp(max=1.0), score.detach())

    return _meta_train(weights, train, config, seed=seed, progress=progress)


def unroll(
    optimizer: Optimizer, problem: Problem, theta: Tensor, memory: Any, config: MetaConfig
) -> tuple[Tensor, Any, Tensor]:
    """Return theta, the memory and the mean score (agent,) of the next `config.truncation` updates.

    `memory` None begins with an empty one. The score can be differentiated by the optimizer's
    weights, and by theta.
    """
    memory, scores = optimizer.start(problem) if memory is None else memory, []
    for k in range(1, config.truncation + 1):
        seen = theta if config.second_order else theta.detach()
        step, memory = optimizer.update(problem.gradient(seen)[0], memory)
        theta = theta + step
        if k % config.score_every == 0:
            scores.append(problem.score(theta))
    bounded = torch.stack(scores).nan_to_num(nan=config.worst).clamp(max=config.worst)
    return theta, memory, bounded.mean(dim=0)


class _Learner:
    """The weights, their Adam with a falling rate, and the course of the meta-loss."""

    def __init__(self, weights: Tensor, config: MetaConfig, bar: tqdm) -> None:
        self.weights, self.config, self.bar = weights.clone(), config, bar
        self.adam = torch.optim.Adam([self.weights], lr=config.lr)
        self.losses: list[float] = []

    def step(self, gradient: Tensor, score: Tensor) -> None:
        """Move against `gradient`."""
        share = len(self.losses) / self.bar.total
        lr = self.config.lr + share * (self.config.final_lr - self.config.lr)
        self.adam.param_groups[0]["lr"] = lr
        self.weights.grad = gradient.to(self.weights)
        self.adam.step()
        self.losses.append(score.mean().item())
        self.bar.update()


def _meta_train(
    weights: Tensor, train: Callable, config: MetaConfig, *, seed: int, progress: bool
) -> MetaResult:
    """Return what `train`, called for one fresh problem after the other, has made of `weights`."""
    check_count("seed", seed, least=0)
    if weights.ndim != 1:
        raise ValueError(f"weights must be one vector (P,), got shape {tuple(weights.shape)}")
    generator = torch.Generator().manual_seed(seed)
    problem_seeds = np.random.default_rng(seed)
    total = config.num_problems * config.num_updates // config.truncation
    with tqdm(total=total, disable=not progress, leave=False) as bar:
        learner = _Learner(weights, config, bar)
        for _ in range(config.num_problems):
            train(learner, int(problem_seeds.integers(2**32)), generator)
    return MetaResult(learner.weights.detach(), np.array(learner.losses))


def _detached(x: Tensor | Memory) -> Tensor | Memory:
    if isinstance(x, Tensor):
        return x.detach()
    return Memory(*(y.detach() if isinstance(y, Tensor) else y for y in x))
