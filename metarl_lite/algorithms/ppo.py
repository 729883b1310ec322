"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    r(theta) = pi_theta(A | S) / pi_old(A | S)
    maximise  E[ min(r A-hat, clip(r, 1 - epsilon, 1 + epsilon) A-hat) ]

`clipped_surrogate`, `approx_kl` and `ppo_loss` are elementwise: they take tensors of one shape and
return that shape, so that a caller with other axes, (time, task) say, averages as it needs.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from metarl_lite.checks import check_count, real_array


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
        for name, value in asdict(self).items():
            if type(getattr(PPOConfig, name)) is int:
                check_count(name, value)
            elif type(getattr(PPOConfig, name)) is float:
                real_array(name, value)
        if not isinstance(self.hidden, tuple):
            raise ValueError(f"hidden must be a tuple of layer sizes, got {self.hidden!r}")
        for size in self.hidden:
            check_count("hidden", size)
        valid = {
            "gamma": 0 <= self.gamma <= 1,
            "gae_lambda": 0 <= self.gae_lambda <= 1,
            "lr": self.lr > 0,
            "clip_coef": self.clip_coef > 0,
            "value_coef": self.value_coef >= 0,
            "entropy_coef": self.entropy_coef >= 0,
            "normalise_advantage": isinstance(self.normalise_advantage, bool),
        }
        for name in (name for name, is_valid in valid.items() if not is_valid):
            raise ValueError(f"{name} is out of its range: {getattr(self, name)!r}")


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
    """
    surrogate = clipped_surrogate(log_prob, old_log_prob, advantage, clip_coef=clip_coef)
    return value_coef * (value - return_).square() - surrogate - entropy_coef * entropy


def normalised(advantage: Tensor) -> Tensor:
    """Return advantages (..., batch) less their mean over the last axis, in standard deviations."""
    mean, std = advantage.mean(dim=-1, keepdim=True), advantage.std(dim=-1, keepdim=True)
    return (advantage - mean) / (std + 1e-8)
