"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    r(theta) = pi_theta(A | S) / pi_old(A | S)
    maximise  E[ min(r A-hat, clip(r, 1 - epsilon, 1 + epsilon) A-hat) ]

`clipped_surrogate`, `approx_kl` and `ppo_loss` are elementwise: they take tensors of one shape and
return that shape, so that a caller with other axes, (time, task) say, averages as it needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive, is_share
from metarl_lite.nets import entropy, log_prob, sample_categorical, stacked_mlp
from metarl_lite.returns import gae
from metarl_lite.rollout import Transitions, collect, flat_sizes


@dataclass(frozen=True)
class PPOConfig:
    """Defaults balance CartPole-v1 with 32 copies of the environment a seed."""

    total_steps: int = 51_200  # environment steps of each seed
    num_steps: int = 32  # steps of every copy between two updates
    gamma: float = 0.98
    gae_lambda: float = 0.95
    hidden: tuple[int, ...] = (128,)  # of the policy, and of the critic
    lr: float = 7e-3  # Adam's, at the start; falls linearly to 0
    num_epochs: int = 4  # passes over each rollout
    num_minibatches: int = 4  # gradient steps a pass
    clip_coef: float = 0.2  # epsilon
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    normalise_advantage: bool = True  # in each minibatch

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self,
            gamma=is_share,
            gae_lambda=is_share,
            lr=is_positive,
            clip_coef=is_positive,
            value_coef=is_not_negative,
            entropy_coef=is_not_negative,
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A moment of training: environment steps done by each seed, and the live networks.

    `kl` (update, seed): KL(old || new), estimated just before each gradient step since the last.
    """

    step: int
    policy: nn.Sequential
    critic: nn.Sequential
    kl: np.ndarray


class Samples(NamedTuple):
    """What PPO learns from, fixed while it does; the axes are (seed, batch)."""

    obs: Tensor  # (seed, batch, obs_dim)
    action: Tensor
    old_log_prob: Tensor
    advantage: Tensor
    return_: Tensor  # the critic's target, advantage + value


def clipped_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, *, clip_coef: float
) -> Tensor:
    """Return min(r A, clip(r, 1 - eps, 1 + eps) A), elementwise, to be maximised (their eq. 7)."""
    ratio = (log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip_coef, 1 + clip_coef)
    return torch.minimum(ratio * advantage, clipped * advantage)


def approx_kl(log_prob: Tensor, old_log_prob: Tensor) -> Tensor:
    """Return r - 1 - log r, elementwise: its mean over actions of the old policy is KL(old || new).

    Never negative, unlike -log r, which has the same mean (Schulman 2020, "Approximating KL").
    """
    log_ratio = log_prob - old_log_prob
    return log_ratio.expm1() - log_ratio


def ppo_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    value: Tensor,
    return_: Tensor,
    entropy: Tensor,
    *,
    clip_coef: float,
    value_coef: float,
    entropy_coef: float,
) -> Tensor:
    """Return the loss of each sample, to be averaged and minimised (their eq. 9, negated).

    Gradients pass through `log_prob`, `value` and `entropy`; the rest are numbers from the rollout.
    Raises ValueError where shapes differ: they would be broadcast, and learn something else.
    """
    shapes = [tuple(x.shape) for x in (log_prob, old_log_prob, advantage, value, return_, entropy)]
    if len(set(shapes)) > 1:
        raise ValueError(
            "log_prob, old_log_prob, advantage, value, return_ and entropy must have one shape, "
            f"got {shapes}"
        )
    surrogate = clipped_surrogate(log_prob, old_log_prob, advantage, clip_coef=clip_coef)
    return value_coef * (value - return_).square() - surrogate - entropy_coef * entropy


def normalised(advantage: Tensor) -> Tensor:
    """Return advantages (..., batch) less their mean over the last axis, in standard deviations."""
    mean, std = advantage.mean(dim=-1, keepdim=True), advantage.std(dim=-1, keepdim=True)
    return (advantage - mean) / (std + 1e-8)


def samples_of(
    policy: nn.Module, critic: nn.Module, segment: Transitions, config: PPOConfig
) -> Samples:
    """Return what an update may use of a segment (seed, time, env): numbers, without gradients.

    Rewards count times 1 - gamma, so that a return is a weighted mean of rewards, and the critic
    has numbers of their size to learn. Values follow truncated episodes, not terminated ones.
    """
    with torch.no_grad():
        obs, next_obs = segment.obs.flatten(1, 2), segment.next_obs.flatten(1, 2)
        values = critic(torch.cat([obs, next_obs], dim=1)).squeeze(-1).chunk(2, dim=1)
        value, next_value = (x.unflatten(1, segment.reward.shape[1:]) for x in values)
        advantage = gae(
            (1 - config.gamma) * segment.reward,
            value,
            next_value,
            segment.terminated,
            segment.truncated,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
        )
        action = segment.action.flatten(1)
        old_log_prob = log_prob(policy(obs), action)
    return Samples(obs, action, old_log_prob, advantage.flatten(1), (advantage + value).flatten(1))


def learn(
    env: gym.vector.VectorEnv,
    config: PPOConfig = PPOConfig(),
    *,
    seed: int,
    num_seeds: int = 1,
    snapshot_every: int = 10_000,
) -> Iterator[Snapshot]:
    """Yield a Snapshot each time `snapshot_every` more environment steps are done.

    The caller may stop at any of them. `env` restarts finished episodes within the step (see
    `metarl_lite.rollout.step`), has flat observations and a Discrete action. Raises ValueError
    where its number of copies is no multiple of `num_seeds`, or too small for the minibatches.
    """
    check_count("snapshot_every", snapshot_every)
    obs_dim, num_actions, envs_per_seed = flat_sizes(env, num_seeds)
    segment_steps = config.num_steps * envs_per_seed
    if segment_steps < 2 * config.num_minibatches:
        raise ValueError(f"{segment_steps} samples are too few for num_minibatches of two or more")
    generator = torch.Generator().manual_seed(seed)
    policy, critic = (
        stacked_mlp((obs_dim, *config.hidden, size), num_copies=num_seeds, generator=generator)
        for size in (num_actions, 1)
    )
    optimizer = torch.optim.Adam([*policy.parameters(), *critic.parameters()], fused=True)

    def act(obs: Tensor) -> Tensor:
        with torch.no_grad():
            logits = policy(obs.unflatten(0, (num_seeds, -1)))
        return sample_categorical(logits, generator=generator).flatten()

    obs, kls = torch.from_numpy(env.reset(seed=seed)[0]).float(), []
    for step in range(segment_steps, config.total_steps + segment_steps, segment_steps):
        columns, obs = collect(env, obs, act, num_steps=config.num_steps)
        by_seed = (x.unflatten(1, (num_seeds, -1)).transpose(0, 1) for x in columns)
        samples = samples_of(policy, critic, Transitions(*by_seed), config)
        optimizer.param_groups[0]["lr"] = config.lr * (
            1 - (step - segment_steps) / config.total_steps
        )
        for minibatch in _minibatches(samples, config, generator):
            kls.append(_update(policy, critic, optimizer, minibatch, config))
        if step % snapshot_every < segment_steps:
            yield Snapshot(step, policy, critic, torch.stack(kls).numpy())
            kls = []


def _minibatches(
    samples: Samples, config: PPOConfig, generator: torch.Generator
) -> Iterator[Samples]:
    """Yield the samples in parts, in a fresh order each epoch; every seed has its own."""
    seed = torch.arange(len(samples.action))[:, None]
    for _ in range(config.num_epochs):
        order = torch.rand(samples.action.shape, generator=generator).argsort(dim=1)
        for index in order.chunk(config.num_minibatches, dim=1):
            yield Samples(*(x[seed, index] for x in samples))


def _update(
    policy: nn.Module,
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
    config: PPOConfig,
) -> Tensor:
    """Take one gradient step in place; return the approximate KL (seed,) before it."""
    logits = policy(samples.obs)
    new_log_prob = log_prob(logits, samples.action)
    advantage = samples.advantage
    loss = ppo_loss(
        new_log_prob,
        samples.old_log_prob,
        normalised(advantage) if config.normalise_advantage else advantage,
        critic(samples.obs).squeeze(-1),
        samples.return_,
        entropy(logits),
        clip_coef=config.clip_coef,
        value_coef=config.value_coef,
        entropy_coef=config.entropy_coef,
    )
    optimizer.zero_grad()
    loss.mean(dim=1).sum().backward()  # seeds share no parameter, so their gradients stay apart
    optimizer.step()
    return approx_kl(new_log_prob.detach(), samples.old_log_prob).mean(dim=1)
