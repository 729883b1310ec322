"""Returns and advantages from sampled rewards, with termination and truncation kept apart.

All arguments are tensors of one shape (..., time, env) and so is the result. `next_value` is the
value of the observation that each step truly led to, before any restart: it is used where an
episode was truncated and at the end of the segment, never where it terminated (Pardo et al. 2018).
"""

from numbers import Real

import torch
from torch import Tensor

from metarl_lite.checks import check_count


def discounted_returns(
    reward: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, *, gamma: float
) -> Tensor:
    """Return G_t = R_{t+1} + gamma G_{t+1}, bootstrapped where the episode goes on unseen."""
    return _backwards(reward, next_value, terminated, truncated, gamma, 1.0)


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Return the advantages A_t = delta_t + gamma lambda A_{t+1} (Schulman et al. 2016, eq. 16).

    `value` is that of the observation the step started from. gae_lambda 0 gives the one-step
    advantage, 1 the bootstrapped return minus the value.
    """
    _check(reward, value=value)
    _check_share("gae_lambda", gae_lambda)
    return _backwards(reward, next_value, terminated, truncated, gamma, gae_lambda) - value


def n_step_returns(
    reward: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    *,
    gamma: float,
    num_steps: int,
) -> Tensor:
    """Return R_{t+1} + ... + gamma^(n-1) R_{t+n} + gamma^n V(S_{t+n}), cut at an episode's end."""
    _check(reward, next_value=next_value, terminated=terminated, truncated=truncated)
    _check_share("gamma", gamma)
    check_count("num_steps", num_steps)
    one_step = total = reward + gamma * next_value * ~terminated
    goes_on = ~(terminated | truncated)
    for _ in range(num_steps - 1):  # a horizon of k + 1 from one of k, one step later
        longer = reward[..., :-1, :] + gamma * total[..., 1:, :]
        longer = torch.where(goes_on[..., :-1, :], longer, one_step[..., :-1, :])
        total = torch.cat([longer, one_step[..., -1:, :]], dim=-2)
    return total


def _backwards(reward, next_value, terminated, truncated, gamma: float, mix: float) -> Tensor:
    """Return the lambda-return: G_t = R + gamma ((1 - mix) V_{t+1} + mix G_{t+1})."""
    _check(reward, next_value=next_value, terminated=terminated, truncated=truncated)
    _check_share("gamma", gamma)
    goes_on = ~(terminated | truncated)
    next_value = next_value * ~terminated
    returns = torch.empty_like(reward)
    later = next_value[..., -1, :]
    for t in reversed(range(reward.shape[-2])):
        value = next_value[..., t, :]
        ahead = torch.where(goes_on[..., t, :], (1 - mix) * value + mix * later, value)
        later = returns[..., t, :] = reward[..., t, :] + gamma * ahead
    return returns


def _check(reward: Tensor, **others: Tensor) -> None:
    if reward.ndim < 2 or reward.numel() == 0 or not reward.is_floating_point():
        raise ValueError(
            f"reward must be floating point, of shape (..., time, env): {tuple(reward.shape)}, "
            f"{reward.dtype}"
        )
    for name, tensor in others.items():
        dtype = torch.bool if name in ("terminated", "truncated") else reward.dtype
        if tensor.shape != reward.shape or tensor.dtype != dtype:
            raise ValueError(
                f"{name} must have reward's shape {tuple(reward.shape)} and be {dtype}: "
                f"{tuple(tensor.shape)}, {tensor.dtype}"
            )


def _check_share(name: str, share: float) -> None:
    if not isinstance(share, Real) or not 0 <= share <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {share!r}")
