"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    r(theta) = pi_theta(A | S) / pi_old(A | S)
    maximise  E[ min(r A-hat, clip(r, 1 - epsilon, 1 + epsilon) A-hat) ]

`clipped_surrogate`, `approx_kl` and `ppo_loss` are elementwise: they take tensors of one shape and
return that shape, so that a caller with other axes, (time, task) say, averages as it needs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from metarl_lite.checks import check_config, is_not_negative, is_positive, is_share


@dataclass(frozen=True)
class PPOConfig:
    """Defaults balance CartPole-v1; the number of copies a seed is the environment's."""

    total_steps: int = 100_000  # environment steps of each seed
    num_steps: int = 32  # steps of every copy between two updates
    gamma: float = 0.98
    gae_lambda: float = 0.95
    hidden: tuple[int, ...] = (64, 64)
    lr: float = 3e-3  # Adam's, at the start; falls linearly to 0
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
