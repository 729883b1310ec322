"""Deep Q-networks (Mnih et al. 2015, doi:10.1038/nature14236), several seeds in one program.

    y = R + gamma * q_target(S', argmax_a q(S', a))     Double DQN (van Hasselt et al. 2016)
    minimise  loss(q(S, A) - y), y held constant

The environment holds num_seeds * envs_per_seed copies, seed by seed. Axes: (seed, env or batch,
feature). One environment step is one transition of one seed.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive, is_share
from metarl_lite.nets import stacked_mlp
from metarl_lite.rollout import ReplayBuffer, Transitions, flat_sizes, step

LOSSES = {"huber": functional.smooth_l1_loss, "mse": functional.mse_loss}


@dataclass(frozen=True)
class DQNConfig:
    """Defaults balance CartPole-v1 with 16 copies of the environment a seed."""

    total_steps: int = 22_500  # environment steps of each seed
    gamma: float = 0.99
    hidden: tuple[int, ...] = (256,)  # one wide layer keeps what it has learned better than two
    lr: float = 2.5e-3  # Adam's, at the start
    final_lr: float = 2.5e-4  # reached linearly at the end
    batch_size: int = 64
    buffer_size: int = 50_000  # transitions a seed; as few as there are copies: no replay
    learning_starts: int = 1_000  # environment steps before the first update
    updates_per_step: int = 8  # gradient updates after each step of all copies
    target_every: int = 40  # updates between two copies to the target network; 1: no target
    epsilon_steps: int = 4_000  # environment steps from all random to final_epsilon
    final_epsilon: float = 0.04
    double: bool = True
    loss: str = "huber"  # or "mse"

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self,
            gamma=is_share,
            lr=is_positive,
            final_lr=is_not_negative,
            learning_starts=is_not_negative,
            final_epsilon=is_share,
            loss=LOSSES.__contains__,
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A moment of training: environment steps done, the live networks, mean loss since the last."""

    step: int
    net: nn.Sequential
    loss: np.ndarray  # (seed,)


@dataclass(frozen=True, eq=False)
class DQNResult:
    """`net` holds each seed's chosen network: the one with the best evaluation.

    `steps` (K,), at which `returns` (K, seed) were evaluated and `losses` (K, seed) averaged.
    """

    net: nn.Sequential
    steps: np.ndarray
    returns: np.ndarray
    losses: np.ndarray


def td_targets(
    net: nn.Module, target_net: nn.Module, batch: Transitions, *, gamma: float, double: bool
) -> Tensor:
    """Return y (seed, batch): no gradient passes, and only termination ends the sum."""
    with torch.no_grad():
        next_q = target_net(batch.next_obs)
        chooser = net(batch.next_obs) if double else next_q
        best = chooser.argmax(dim=-1, keepdim=True)
        next_value = next_q.gather(-1, best).squeeze(-1)
        return batch.reward + gamma * next_value * ~batch.terminated


def dqn_loss(
    net: nn.Module, target_net: nn.Module, batch: Transitions, config: DQNConfig
) -> Tensor:
    """Return the mean loss of each seed, (seed,), over transitions (seed, batch)."""
    y = td_targets(net, target_net, batch, gamma=config.gamma, double=config.double)
    q = net(batch.obs).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    return LOSSES[config.loss](q, y, reduction="none").mean(dim=-1)


def learn(
    env: gym.vector.VectorEnv,
    config: DQNConfig = DQNConfig(),
    *,
    seed: int,
    num_seeds: int = 1,
    snapshot_every: int = 2_500,
) -> Iterator[Snapshot]:
    """Yield a Snapshot each time `snapshot_every` more environment steps are done.

    The caller may stop at any of them. `env` restarts finished episodes within the step (see
    `metarl_lite.rollout.step`), has flat observations and a Discrete action. Raises ValueError
    where its number of copies is no multiple of `num_seeds`.
    """
    check_count("snapshot_every", snapshot_every)
    obs_dim, num_actions, envs_per_seed = flat_sizes(env, num_seeds)
    generator = torch.Generator().manual_seed(seed)
    sizes = (obs_dim, *config.hidden, num_actions)
    net = stacked_mlp(sizes, num_copies=num_seeds, generator=generator)
    target_net = copy.deepcopy(net).requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, fused=True)
    buffer = ReplayBuffer(num_seeds, config.buffer_size, obs_dim)
    obs = torch.from_numpy(env.reset(seed=seed)[0]).float()
    num_updates, losses = 0, []
    for done_steps in range(envs_per_seed, config.total_steps + envs_per_seed, envs_per_seed):
        epsilon = _line(1.0, config.final_epsilon, done_steps / config.epsilon_steps)
        action = _explore(net, obs.unflatten(0, (num_seeds, -1)), epsilon, generator)
        transitions, obs = step(env, obs, action.flatten())
        buffer.add(Transitions(*(x.unflatten(0, (num_seeds, -1)) for x in transitions)))
        if done_steps >= config.learning_starts:
            lr = _line(config.lr, config.final_lr, done_steps / config.total_steps)
            optimizer.param_groups[0]["lr"] = lr
            batches = buffer.sample(
                config.updates_per_step * config.batch_size, generator=generator
            )
            for batch in zip(*(x.split(config.batch_size, dim=1) for x in batches), strict=True):
                losses.append(_update(net, target_net, optimizer, Transitions(*batch), config))
                num_updates += 1
                if num_updates % config.target_every == 0:
                    target_net.load_state_dict(net.state_dict())
        if done_steps % snapshot_every < envs_per_seed:
            unknown = torch.full((num_seeds,), torch.nan)  # before the first update
            yield Snapshot(done_steps, net, torch.stack(losses or [unknown]).mean(dim=0).numpy())
            losses = []


def train(
    env: gym.vector.VectorEnv,
    config: DQNConfig = DQNConfig(),
    *,
    evaluate: Callable[[nn.Sequential, int], np.ndarray],
    seed: int,
    num_seeds: int = 1,
    snapshot_every: int = 2_500,
    progress: bool = False,
) -> DQNResult:
    """Return the networks that did best, seed by seed, after `config.total_steps` steps.

    `evaluate(net, step)` gives the (num_seeds,) mean greedy returns of a snapshot.
    """
    check_count("snapshot_every", snapshot_every)
    if snapshot_every > config.total_steps:
        raise ValueError(f"snapshot_every must be at most total_steps, got {snapshot_every}")
    history, chosen = [], None
    snapshots = learn(env, config, seed=seed, num_seeds=num_seeds, snapshot_every=snapshot_every)
    for snapshot in tqdm(
        snapshots, total=config.total_steps // snapshot_every, disable=not progress, leave=False
    ):
        returns = np.asarray(evaluate(snapshot.net, snapshot.step), dtype=float)
        if returns.shape != (num_seeds,):
            raise ValueError(f"evaluate must return ({num_seeds},) returns: {returns.shape}")
        if chosen is None:
            chosen, best = copy.deepcopy(snapshot.net), np.full(num_seeds, -np.inf)
        better = returns > best
        best[better] = returns[better]
        with torch.no_grad():
            for kept, new in zip(chosen.parameters(), snapshot.net.parameters(), strict=True):
                kept[better] = new[better]
        history.append((snapshot.step, returns, snapshot.loss))
    steps, returns, losses = (np.array(column) for column in zip(*history, strict=True))
    return DQNResult(chosen, steps, returns, losses)


def _update(net, target_net, optimizer, batch: Transitions, config: DQNConfig) -> Tensor:
    """Take one gradient step in place; return the loss of each seed before it."""
    loss = dqn_loss(net, target_net, batch, config)
    optimizer.zero_grad()
    loss.sum().backward()  # seeds share no parameter, so the sum leaves their gradients apart
    optimizer.step()
    return loss.detach()


def _explore(net: nn.Module, obs: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return epsilon-greedy actions (seed, env) for observations (seed, env, obs_dim)."""
    with torch.no_grad():
        q = net(obs)
    anything = torch.randint(q.shape[-1], q.shape[:-1], generator=generator)
    explores = torch.rand(q.shape[:-1], generator=generator) < epsilon
    return torch.where(explores, anything, q.argmax(dim=-1))


def _line(start: float, end: float, fraction: float) -> float:
    """Return the value at `fraction` of the way from `start` to `end`, and `end` beyond."""
    return start + (end - start) * min(fraction, 1.0)
