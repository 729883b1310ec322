"""What is learned on few-shot episodes: the loss of one, ANIL's, an embedding, and accuracies.

An episode's data are images (way, shot, row, column) whose class is their place on the first axis,
as `metarl_lite.data.characters` draws them. MAML and Reptile take `loss` as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional
from tqdm import tqdm

from metarl_lite.checks import check_config, check_count, is_not_negative, is_positive
from metarl_lite.convnets import Params, conv_features, conv_logits, conv_params
from metarl_lite.data.characters import Characters, jitter, labels


def loss(params: Params, images: Tensor) -> Tensor:
    """Return the mean cross-entropy of images (way, shot, 28, 28), in nats."""
    return functional.cross_entropy(conv_logits(params, images).flatten(0, 1), labels(images))


def adapt_head(params: Params, support: Tensor, *, inner_lr: float, inner_steps: int) -> Params:
    """Return `params` after steps on the last layer alone: almost no inner loop, ANIL.

    The features of the support are computed once (Raghu et al. 2020, arXiv:1909.09157).
    """
    features, right = conv_features(params, support).flatten(0, 1), labels(support)

    def head_loss(head: Params) -> Tensor:
        return functional.cross_entropy(features @ head["head.weight"] + head["head.bias"], right)

    head = {name: p for name, p in params.items() if name.startswith("head")}
    for _ in range(inner_steps):
        grads = grad(head_loss)(head)
        head = {name: p - inner_lr * grads[name] for name, p in head.items()}
    return params | head


def accuracies(adapt: Callable[[Tensor], Params], support: Tensor, query: Tensor) -> np.ndarray:
    """Return the share of right answers (task,) on the query, after `adapt(support)` of each task.

    Support and query are (task, way, shot, 28, 28); all queries of a task are classified together,
    so batch norm sees them together (which is called transductive).
    """

    def of_one_task(support: Tensor, query: Tensor) -> Tensor:
        answers = conv_logits(adapt(support), query).flatten(0, 1).argmax(dim=-1)
        return (answers == labels(query)).float().mean()

    with torch.no_grad():  # torch.func.grad within it still differentiates
        return vmap(of_one_task, chunk_size=50)(support, query).numpy()


@dataclass(frozen=True)
class EmbeddingConfig:
    """Defaults train an embedding of 183 characters in seconds on a CPU."""

    filters: int = 32
    batch_size: int = 128
    lr: float = 3e-3  # Adam's at first; falls linearly to 0
    sharpness: float = 10.0  # what cosines are multiplied with to become logits
    iterations: int = 600

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(self, lr=is_positive, sharpness=is_not_negative)


def train_embedding(
    characters: Characters,
    config: EmbeddingConfig = EmbeddingConfig(),
    *,
    seed: int,
    progress: bool = False,
) -> Params:
    """Return the parameters of a network that was trained to name all `characters`, jittered.

    Ordinary supervised learning: the logit of a character is the cosine of the features and a
    learned vector. What is kept is the network below, with a head of one class that nobody needs.
    """
    check_count("seed", seed, least=0)
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    params = {
        n: p[0] for n, p in conv_params(1, filters=config.filters, generator=generator).items()
    }
    size = len(params["head.weight"])
    names = torch.randn(len(characters), size, generator=generator).requires_grad_()
    learned = [p.requires_grad_() for p in params.values()]
    optimizer = torch.optim.Adam([*learned, names], lr=config.lr, fused=True)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=config.iterations)
    for _ in tqdm(range(config.iterations), disable=not progress, leave=False):
        which = rng.integers(len(characters), size=config.batch_size)
        drawing = rng.integers(characters.images.shape[1], size=config.batch_size)
        features = conv_features(params, jitter(rng, characters.images[which, drawing]))
        cosines = functional.normalize(features, dim=-1) @ functional.normalize(names, dim=-1).T
        optimizer.zero_grad()
        functional.cross_entropy(config.sharpness * cosines, torch.from_numpy(which)).backward()
        optimizer.step()
        decay.step()
    return {name: p.detach() for name, p in params.items()}


def embed(params: Params, *images: Tensor) -> list[Tensor]:
    """Return unit features (task, way, shot, feature) of each of images (task, way, shot, 28, 28).

    Batch norm sees fifty tasks together: within a single one it would subtract much of what tells
    its few classes apart, which no training of this kind has prepared for.
    """
    with torch.no_grad():
        parts = torch.cat(images, dim=2).split(50)
        features = torch.cat(
            [functional.normalize(conv_features(params, part), dim=-1) for part in parts]
        )
    return list(features.split([each.shape[2] for each in images], dim=2))
