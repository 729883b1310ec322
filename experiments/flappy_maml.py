"""MAML on the Q-network of Flappy Bird, for `flappy_adaptation.py`.

    phi_0 = theta,   phi_{j+1} = phi_j - M_j grad L(phi_j; experience)      inner loop, 3 steps
    minimise over theta and M    - sum_a pi_told(a | S, physics) log softmax(q_phi(S, a) / tau)

L is the squared TD error on the task's own games, which is all that the inner loop is given. The
outer loss is on games that phi plays (DAgger, Ross et al. 2011): there, and in meta-training only,
a teacher that is told the physics says what it would do. M_j multiplies the gradient of each layer
from the left and from the right (Meta-Curvature, Park and Oliva 2019, arXiv:1902.03356). theta is
one network; a task's phi is a row of (task, D).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from flappy_protocol import MAX_PIPES, played
from torch import Tensor, nn
from tqdm import trange

from metarl_lite.algorithms.meta_dqn import q_values
from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.envs.flappy_tasks import told
from metarl_lite.nets import mlp_params
from metarl_lite.rollout import Transitions

SIZES = (8, 64, 64, 2)


@dataclass(frozen=True)
class MAMLConfig:
    """What the rows of `flappy_adaptation.py` use."""

    iterations: int = 800
    num_tasks: int = 32
    inner_steps: int = 3
    inner_lr: float = 0.2  # what the metric starts with
    gamma: float = 0.95
    decisions: int = 48  # of each game, from its start, that the inner loop learns from
    max_games: int = 3  # of experience, in meta-training
    unadapted: float = 0.2  # share of iterations without experience, which train theta alone
    query: int = 160  # decisions of the game on which phi is judged
    temperature: float = 0.2  # tau
    lr: float = 2e-3  # Adam's, falling linearly to a twentieth
    max_norm: float = 1.0


class Learner(NamedTuple):
    """An initialisation theta (1, D), and for each inner step and layer two matrices."""

    theta: Tensor
    metric: list[Tensor]


class Game(NamedTuple):
    """The first decisions of one game a task: (task, time), and which of them were played."""

    transitions: Transitions
    playing: Tensor


def initial(config: MAMLConfig, *, seed: int) -> Learner:
    """Return a random network, and inner steps that are plain gradient descent."""
    generator = torch.Generator().manual_seed(seed)
    params = mlp_params(SIZES, num_copies=1, generator=generator)
    theta = torch.cat([p.flatten(1) for p in params.values()], dim=1)
    metric = []
    for _ in range(config.inner_steps):
        for inputs, outputs in pairwise(SIZES):
            metric += [torch.eye(inputs + 1), config.inner_lr * torch.eye(outputs)]
    return Learner(theta, metric)


def play(
    theta: Tensor, env: VectorFlappyBird, *, seed: int, keep: int, max_decisions: int = 2_000
) -> tuple[Game, np.ndarray]:
    """Return the first `keep` decisions of a greedy game in each task, and its length (task,)."""
    seen = []

    def policy(obs: np.ndarray) -> np.ndarray:
        return q_values(theta, torch.from_numpy(obs)[:, None], SIZES)[:, 0].argmax(-1).numpy()

    def visit(transitions: Transitions, playing: Tensor) -> None:
        if len(seen) < keep:
            seen.append((transitions, playing))

    with torch.no_grad():
        _, steps = played(policy, env, seed=seed, visit=visit, max_decisions=max_decisions)
    transitions, playing = zip(*seen, strict=True)
    columns = (torch.stack(column, dim=1) for column in zip(*transitions, strict=True))
    return Game(Transitions(*columns), torch.stack(playing, dim=1).float()), steps


def td_loss(phi: Tensor, target: Tensor, games: list[Game], gamma: float) -> Tensor:
    """Return each task's mean squared TD error (task,) over the decisions of its games."""
    batch = Transitions(
        *(torch.cat(x, dim=1) for x in zip(*(g.transitions for g in games), strict=True))
    )
    playing = torch.cat([game.playing for game in games], dim=1)
    q = q_values(phi, batch.obs, SIZES).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    future = q_values(target, batch.next_obs, SIZES).amax(dim=-1) * ~batch.terminated
    error = (q - batch.reward - gamma * future) * playing
    return error.square().sum(dim=1) / playing.sum(dim=1)


def conditioned(gradient: Tensor, metric: list[Tensor]) -> Tensor:
    """Return M gradient (task, D): of each layer, left times (weights above bias) times right."""
    shapes = [(inputs + 1, outputs) for inputs, outputs in pairwise(SIZES)]
    layers = gradient.split([rows * columns for rows, columns in shapes], dim=1)
    changed = [
        left @ layer.unflatten(1, shape) @ right
        for layer, shape, left, right in zip(layers, shapes, metric[::2], metric[1::2], strict=True)
    ]
    return torch.cat([layer.flatten(1) for layer in changed], dim=1)


def adapt(
    learner: Learner, games: list[Game], config: MAMLConfig, *, graph: bool = False
) -> Tensor:
    """Return phi (task, D) after the inner steps; with `graph` it can be differentiated."""
    phi, size = learner.theta.expand(len(games[0].playing), -1), 2 * (len(SIZES) - 1)
    for j in range(config.inner_steps):
        with torch.enable_grad():
            learns = phi.view_as(phi) if graph else phi.detach().requires_grad_()
            loss = td_loss(learns, phi if graph else phi.detach(), games, config.gamma).sum()
            (gradient,) = torch.autograd.grad(loss, learns, create_graph=graph)
        phi = phi - conditioned(gradient, learner.metric[j * size : (j + 1) * size])
    return phi


def teaching_loss(
    phi: Tensor, game: Game, teacher: nn.Module, tasks: FlappyTasks, config: MAMLConfig
) -> Tensor:
    """Return the mean cross-entropy to the teacher's probabilities on the states of a game."""
    obs = game.transitions.obs
    physics = torch.from_numpy(told(tasks)).float()[:, None].expand(-1, obs.shape[1], -1)
    with torch.no_grad():
        probs = teacher(torch.cat([obs, physics], dim=-1).flatten(0, 1)[None]).softmax(dim=-1)
    log_probs = (q_values(phi, obs, SIZES) / config.temperature).log_softmax(dim=-1)
    loss = -(probs.view_as(log_probs) * log_probs).sum(dim=-1) * game.playing
    return (loss.sum(dim=1) / game.playing.sum(dim=1)).mean()


def meta_train(teacher: nn.Module, config: MAMLConfig = MAMLConfig(), *, seed: int) -> Learner:
    """Return an initialisation and inner steps, trained on fresh tasks in each iteration."""
    learner, rng = initial(config, seed=seed), np.random.default_rng(seed)
    weights = [w.requires_grad_() for w in (learner.theta, *learner.metric)]
    optimizer = torch.optim.Adam(weights, lr=config.lr)
    for i in trange(config.iterations, leave=False):
        tasks = sample_tasks(rng, config.num_tasks)
        env, now = VectorFlappyBird(tasks, max_pipes=6), detached(learner)
        num_games = 0 if rng.random() < config.unadapted else rng.integers(1, config.max_games + 1)
        phi, games = now.theta.expand(len(tasks), -1), []
        for _ in range(num_games):
            seed, keep = int(rng.integers(2**31)), config.decisions
            games.append(play(phi, env, seed=seed, keep=keep, max_decisions=keep)[0])
            phi = adapt(now, games, config)
        seed, keep = int(rng.integers(2**31)), config.query
        query, _ = play(phi, env, seed=seed, keep=keep, max_decisions=keep)
        phi = learner.theta.expand(len(tasks), -1)
        if games:
            phi = adapt(learner, games, config, graph=True)
        optimizer.param_groups[0]["lr"] = config.lr * (1 - 0.95 * i / config.iterations)
        optimizer.zero_grad()
        teaching_loss(phi, query, teacher, tasks, config).backward()
        nn.utils.clip_grad_norm_(weights, config.max_norm)
        optimizer.step()
    return detached(learner)


def detached(learner: Learner) -> Learner:
    """Return the same numbers, without a way for gradients."""
    return Learner(learner.theta.detach(), [w.detach() for w in learner.metric])


def course(
    learner: Learner, tasks: FlappyTasks, config: MAMLConfig = MAMLConfig(), *, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield phi (task, D) and the steps (task,) of experience after 0, 1, 2, ... episodes.

    Each time the inner loop starts from theta again, with all games so far.
    """
    env, rng = VectorFlappyBird(tasks, max_pipes=MAX_PIPES), np.random.default_rng(seed)
    phi, games, steps = learner.theta.expand(len(tasks), -1), [], torch.zeros(len(tasks))
    while True:
        yield phi, steps
        game, decisions = play(phi, env, seed=int(rng.integers(2**31)), keep=config.decisions)
        games.append(game)
        steps = steps + torch.from_numpy(decisions)
        phi = adapt(learner, games, config)
