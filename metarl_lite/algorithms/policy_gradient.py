"""Policy gradients: REINFORCE and the advantage actor-critic, several seeds in one program.

    grad J = E[ sum_t A-hat_t grad log pi(A_t | S_t) ]      (Williams 1992, doi:10.1007/BF00992696)

A-hat_t is generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438): lambda 1 on
complete episodes without a critic is REINFORCE with reward to go. As is usual, the factor gamma^t
of the theorem is dropped (chapter 4 measures what that does). The environment holds
num_seeds * envs_per_seed copies, seed by seed. Axes: (seed, time, env, feature).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive, is_share
from metarl_lite.nets import entropy, log_prob, sample_categorical, stacked_mlp
from metarl_lite.returns import gae
from metarl_lite.rollout import Transitions, flat_sizes, step


@dataclass(frozen=True)
class PolicyGradientConfig:
    """Defaults are an actor-critic that balances CartPole-v1 with 16 copies a seed."""

    num_updates: int = 160
    num_steps: int = 32  # of every copy between two updates; 0: one complete episode of each
    gamma: float = 0.99
    gae_lambda: float = 0.95
    hidden: tuple[int, ...] = (64,)  # of the policy, and of the critic
    lr: float = 7e-3  # Adam's for the policy, at the start; falls linearly to 0
    critic_lr: float = 1.5e-2  # for the critic, likewise
    critic_updates: int = 8  # gradient steps of the critic's for one of the policy; 0: no critic
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self,
            num_steps=is_not_negative,
            gamma=is_share,
            gae_lambda=is_share,
            lr=is_positive,
            critic_lr=is_positive,
            critic_updates=is_not_negative,
            entropy_coef=is_not_negative,
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A moment of training: environment steps done (seed,), and the live networks."""

    step: np.ndarray
    policy: nn.Sequential
    critic: nn.Sequential


def advantages(
    critic: nn.Module, batch: Transitions, config: PolicyGradientConfig
) -> tuple[Tensor, Tensor]:
    """Return A-hat and the critic's target A-hat + v, both (seed, time, env) and without gradient.

    Without a critic v is 0 everywhere: both are then the discounted reward to go, for lambda 1.
    """
    with torch.no_grad():
        value = next_value = torch.zeros_like(batch.reward)
        if config.critic_updates:
            value = _steps(critic, batch.obs).squeeze(-1)
            next_value = _steps(critic, batch.next_obs).squeeze(-1)
        advantage = gae(
            batch.reward,
            value,
            next_value,
            batch.terminated,
            batch.truncated,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
        )
    return advantage, advantage + value


def policy_loss(
    policy: nn.Module, batch: Transitions, advantage: Tensor, alive: Tensor, *, entropy_coef: float
) -> Tensor:
    """Return the loss of each seed, (seed,), whose negative gradient estimates that of J.

    Summed over the steps `alive` (seed, time, env), then the mean over copies. A mean over the
    steps of each copy would weigh those of short episodes more.
    """
    logits = _steps(policy, batch.obs)
    gain = log_prob(logits, batch.action) * advantage + entropy_coef * entropy(logits)
    return -(gain * alive).sum(dim=1).mean(dim=-1)


def critic_loss(critic: nn.Module, batch: Transitions, target: Tensor, alive: Tensor) -> Tensor:
    """Return the squared error of each seed, (seed,), mean over the steps `alive`."""
    error = (_steps(critic, batch.obs).squeeze(-1) - target).square()
    return (error * alive).sum(dim=(1, 2)) / alive.sum(dim=(1, 2))


def learn(
    env: gym.vector.VectorEnv,
    config: PolicyGradientConfig = PolicyGradientConfig(),
    *,
    seed: int,
    num_seeds: int = 1,
    snapshot_every: int = 20,
) -> Iterator[Snapshot]:
    """Yield a Snapshot after every `snapshot_every` updates of the policy.

    The caller may stop at any of them. `env` restarts finished episodes within the step (see
    `metarl_lite.rollout.step`), has flat observations and a Discrete action. Raises ValueError
    where its number of copies is no multiple of `num_seeds`.
    """
    check_count("snapshot_every", snapshot_every)
    obs_dim, num_actions, _ = flat_sizes(env, num_seeds)
    generator = torch.Generator().manual_seed(seed)
    policy, critic = (
        stacked_mlp((obs_dim, *config.hidden, size), num_copies=num_seeds, generator=generator)
        for size in (num_actions, 1)
    )
    policy_optimizer, critic_optimizer = (
        torch.optim.Adam(net.parameters(), fused=True) for net in (policy, critic)
    )
    obs = torch.from_numpy(env.reset(seed=seed)[0]).float()
    num_steps = np.zeros(num_seeds, dtype=np.int64)
    for update in range(config.num_updates):
        left = 1 - update / config.num_updates
        batch, alive, obs = _collect(env, obs, policy, config.num_steps, generator)
        advantage, target = advantages(critic, batch, config)
        loss = policy_loss(policy, batch, advantage, alive, entropy_coef=config.entropy_coef)
        _descend(policy_optimizer, loss, config.lr * left)
        for _ in range(config.critic_updates):
            loss = critic_loss(critic, batch, target, alive)
            _descend(critic_optimizer, loss, config.critic_lr * left)
        num_steps = num_steps + alive.sum(dim=(1, 2)).numpy()
        if (update + 1) % snapshot_every == 0:
            yield Snapshot(num_steps, policy, critic)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, lr: float) -> None:
    """Take one gradient step in place on the losses (seed,), whose parameters are apart."""
    optimizer.param_groups[0]["lr"] = lr
    optimizer.zero_grad()
    loss.sum().backward()
    optimizer.step()


def _collect(
    env: gym.vector.VectorEnv,
    obs: Tensor,
    policy: nn.Sequential,
    num_steps: int,
    generator: torch.Generator,
) -> tuple[Transitions, Tensor, Tensor]:
    """Return transitions (seed, time, env), which of them count, and where to go on (env, obs_dim).

    With num_steps 0 all copies restart, and play until each has finished one episode; what a copy
    does after its end does not count.
    """
    num_seeds = len(policy[0].weight)
    if num_steps == 0:
        obs = torch.from_numpy(env.reset()[0]).float()
    running, steps, alive = torch.ones(env.num_envs, dtype=torch.bool), [], []
    while len(steps) < num_steps or (num_steps == 0 and running.any()):
        with torch.no_grad():
            logits = policy(obs.unflatten(0, (num_seeds, -1)))
        action = sample_categorical(logits, generator=generator).flatten()
        transitions, obs = step(env, obs, action)
        steps.append(transitions)
        alive.append(running)
        if num_steps == 0:
            running = running & ~(transitions.terminated | transitions.truncated)
    columns = (*zip(*steps, strict=True), alive)
    by_seed = [torch.stack(c).unflatten(1, (num_seeds, -1)).transpose(0, 1) for c in columns]
    return Transitions(*by_seed[:-1]), by_seed[-1], obs


def _steps(net: nn.Module, obs: Tensor) -> Tensor:
    """Return outputs (seed, time, env, out) of a stack of networks for (seed, time, env, in)."""
    return net(obs.flatten(1, 2)).unflatten(1, obs.shape[1:3])
