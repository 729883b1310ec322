"""Small convolutional networks as functions of their parameters, for inner loops to differentiate.

Four layers of strided 3 x 3 convolutions, batch norm and ReLU, and a linear layer on top, as in the
code of Finn et al. (2017). Strides replace pooling: they never compute what pooling throws away.
"""

import torch
from torch import Tensor
from torch.nn import functional

from metarl_lite.checks import check_count

Params = dict[str, Tensor]
NUM_LAYERS = 4
PIXELS_LEFT = 4  # of 28 x 28, after halving four times: 14, 7, 4, 2


def conv_params(
    way: int,
    *,
    filters: int = 32,
    num_copies: int = 1,
    generator: torch.Generator | None = None,
) -> Params:
    """Return the parameters of `num_copies` networks that tell `way` classes apart.

    Each has a leading copy axis. Filters are normal with variance 2 / inputs (He et al. 2015); the
    last layer is zero, so that no class is preferred before the support was seen.
    """
    for name, count in (("way", way), ("filters", filters), ("num_copies", num_copies)):
        check_count(name, count)
    params = {}
    for layer in range(NUM_LAYERS):
        inputs = 1 if layer == 0 else filters
        weight = torch.randn(num_copies, filters, inputs, 3, 3, generator=generator)
        params[f"conv{layer}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
        params[f"conv{layer}.scale"] = torch.ones(num_copies, filters)
        params[f"conv{layer}.shift"] = torch.zeros(num_copies, filters)
    params["head.weight"] = torch.zeros(num_copies, filters * PIXELS_LEFT, way)
    params["head.bias"] = torch.zeros(num_copies, way)
    return params


def conv_features(params: Params, images: Tensor) -> Tensor:
    """Return features (..., 4 filters) of images (..., 28, 28), by one copy of the network.

    Batch norm takes its statistics from all the images it is given, whatever they are.
    """
    x = images.reshape(-1, 1, *images.shape[-2:])
    for layer in range(NUM_LAYERS):
        x = functional.conv2d(x, params[f"conv{layer}.weight"], stride=2, padding=1)
        x = batch_norm(x, params[f"conv{layer}.scale"], params[f"conv{layer}.shift"]).relu()
    return x.reshape(*images.shape[:-2], -1)


def conv_logits(params: Params, images: Tensor) -> Tensor:
    """Return logits (..., way) of images (..., 28, 28), by one copy of the network."""
    return conv_features(params, images) @ params["head.weight"] + params["head.bias"]


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Return x (image, channel, row, column) with each channel at mean `shift`, deviation `scale`.

    Written out (Ioffe and Szegedy 2015), because torch.func.vmap over PyTorch's own in training
    mode gives second derivatives that are wrong without a word (seen in torch 2.13).
    """
    centred = x - x.mean(dim=(0, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(0, 2, 3), keepdim=True)
    return centred * (variance + epsilon).rsqrt() * scale[:, None, None] + shift[:, None, None]
