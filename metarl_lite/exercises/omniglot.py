"""Exercises of chapter 9, Omniglot."""

import numpy as np
import torch
from torch.func import grad, vmap
from torch.nn import functional

from metarl_lite.exercises.exercise import Exercise, Mutant


def episode_labels(way, shots):
    """Return the classes (way * shots,) of an episode's drawings, class by class."""
    return np.repeat(np.arange(way), shots)


q1 = Exercise(
    title="The labels of an episode",
    stub=lambda way, shots: None,
    answer=episode_labels,
    why="The drawings of class 0 come first, all of them, then those of class 1.",
    hints=(
        "Write down the labels of a 3-way 2-shot episode: drawing after drawing, six numbers.",
        "Which of `np.repeat` and `np.tile` keeps equal numbers together?",
    ),
    mutants=(
        Mutant(
            lambda way, shots: np.tile(np.arange(way), shots),
            "These run through the classes again and again; the drawings lie class by class.",
        ),
        Mutant(
            lambda way, shots: np.repeat(np.arange(shots), way),
            "Ways and shots are mixed up: there are `way` different labels.",
        ),
        Mutant(
            lambda way, shots: np.repeat(np.arange(way), shots) + 1,
            "Classes count from 0: a cross-entropy of five classes knows no class 5.",
        ),
    ),
    cases=lambda rng: [(3, 2), (5, 1), (2, 4)],
)


def nearest_mean(support, query):
    """Return the class (N,) whose mean of the support (way, shot, D) is nearest to query (N, D)."""
    means = support.mean(axis=1)
    return np.square(query[:, None] - means).sum(axis=-1).argmin(axis=1)


def _points(rng):
    support = np.array([[[0.0, 0.0], [10.0, 0.0]], [[5.0, 4.0], [5.0, 6.0]]])
    yield support, np.array([[0.5, 0.5], [5.0, 2.0], [5.0, 9.0], [8.0, 4.0]])
    for way, shots in ((5, 1), (4, 3)):
        yield rng.normal(size=(way, shots, 3)), rng.normal(size=(9, 3))


q2 = Exercise(
    title="The nearest mean",
    stub=lambda support, query: None,
    answer=nearest_mean,
    why="One mean point for each class, one distance for each pair, and the smallest of each row.",
    hints=(
        "Average over the shots first: what is the shape of the result?",
        "`query[:, None] - means` has the axes (query, way, feature).",
        "Square, sum over the last axis, `argmin` over the classes.",
    ),
    mutants=(
        Mutant(
            lambda support, query: (
                np.square(query[:, None, None] - support).sum(axis=-1).min(axis=2).argmin(axis=1)
            ),
            "This is the nearest single drawing; here each class is represented by its mean.",
        ),
        Mutant(
            lambda support, query: nearest_mean(support.swapaxes(0, 1), query),
            "The mean runs over the classes here: average the shots, axis 1.",
        ),
        Mutant(
            lambda support, query: (query @ support.mean(axis=1).T).argmax(axis=1),
            "An inner product also rewards a mean for being long; take the distance.",
        ),
    ),
    cases=_points,
)


def multiplications(filters):
    """Return the multiplications that one 28 x 28 drawing costs in four strided layers."""
    sizes, channels = (14, 7, 4, 2), (1, filters, filters, filters)
    return sum(9 * size**2 * c * filters for size, c in zip(sizes, channels, strict=True))


q3 = Exercise(
    title="What a drawing costs",
    stub=lambda filters: None,
    answer=multiplications,
    why="Every number of an output picture is a sum over 9 places and all input channels.",
    hints=(
        "A stride of 2 leaves output pictures of 14, 7, 4 and 2 pixels a side.",
        "A layer costs pixels of its output x 9 x input channels x filters.",
        "The first layer has 1 input channel, the others have `filters`.",
    ),
    mutants=(
        Mutant(
            lambda filters: 9 * filters * (784 + (196 + 49 + 16) * filters),
            "These are the sizes before the stride, as if every layer were computed at full size "
            "and then pooled: four times too much.",
        ),
        Mutant(
            lambda filters: 9 * filters * (196 + 49 + 16 + 4),
            "A filter has weights for *every* channel of its input, not for one.",
        ),
    ),
    cases=lambda rng: [(32,), (64,), (int(rng.integers(3, 20)),)],
)


def batch_norm(x, scale, shift):
    """Return x (image, channel, row, column), normalised over all but its channels."""
    centred = x - x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (centred**2).mean(dim=(0, 2, 3), keepdim=True)
    return centred / (variance + 1e-5).sqrt() * scale[:, None, None] + shift[:, None, None]


def _channels(rng):
    x = rng.normal(size=(4, 3, 5, 5)) + rng.normal(size=(1, 3, 1, 1))
    yield tuple(torch.from_numpy(a) for a in (x, rng.uniform(0.5, 2, 3), rng.normal(size=3)))


def _meta_gradient_problem(answer):
    """Return what is wrong with the second-order gradient through `answer` under vmap."""
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 1, 3, 3, generator=draw, dtype=torch.float64)
    images = torch.rand(2, 6, 1, 6, 6, generator=draw, dtype=torch.float64)
    params = {"weight": weight, "scale": torch.tensor([0.5, 1.0, 1.5]).double()}

    def loss(params, x):
        x = functional.conv2d(x, params["weight"], padding=1)
        x = answer(x, params["scale"], torch.zeros(3).double()).relu()
        return functional.cross_entropy(x.square().mean(dim=(2, 3)), torch.tensor([0, 1, 2] * 2))

    def task(params, x):
        grads = grad(loss)(params, x)
        return loss({name: p - 0.5 * grads[name] for name, p in params.items()}, x.flip(3))

    by_vmap = grad(lambda p: vmap(lambda x: task(p, x))(images).mean())(params)
    by_loop = grad(lambda p: torch.stack([task(p, x) for x in images]).mean())(params)
    error = max(
        ((by_vmap[name] - by_loop[name]).norm() / by_loop[name].norm()).item() for name in params
    )
    if error > 1e-6:
        return (
            f"The values are right. But the meta-gradient that vmap computes through it is "
            f"{100 * error:.1f} % off from that of a loop over the tasks."
        )
    return None


q4 = Exercise(
    title="The batch-norm trap",
    stub=lambda x, scale, shift: None,
    answer=batch_norm,
    why="Means, squares and products have derivatives of every order that vmap knows.",
    hints=(
        "A channel's mean runs over the images *and* over the pixels: three axes, kept for later.",
        "The variance is the mean of the squares of what is left; divide by n, not by n - 1.",
        "`scale[:, None, None]` lies along the channel axis. Add 1e-5 to the variance.",
    ),
    mutants=(
        Mutant(
            lambda x, scale, shift: functional.batch_norm(
                x, None, None, scale, shift, training=True
            ),
            "This is PyTorch's own function: right in value, right in first derivatives, wrong in "
            "second ones under vmap, and it does not say so.",
        ),
        Mutant(
            lambda x, scale, shift: (
                (x - x.mean(dim=(0, 2, 3), keepdim=True))
                / (x.var(dim=(0, 2, 3), keepdim=True) + 1e-5).sqrt()
                * scale[:, None, None]
                + shift[:, None, None]
            ),
            "The variance is divided by n - 1 here, `var`'s habit; batch norm divides by n.",
        ),
        Mutant(
            lambda x, scale, shift: batch_norm(x, shift, scale),
            "Scale and shift have changed places.",
        ),
    ),
    cases=_channels,
    behaviour=_meta_gradient_problem,
)


def _company_problem(answer):
    """Return what is wrong with two companies for a query whose activation is 3."""
    companies = np.asarray(answer, dtype=float)
    if companies.shape != (2, 2):
        return f"Two companies of two numbers each, please; this has shape {companies.shape}."
    high, low = (3 - np.append(company, 3).mean() for company in companies)
    if (companies[0] == companies[1]).all():
        return "Both companies are the same, so is what they make of the query."
    if high <= 0 and low >= 0:
        return "It is the other way round: first the company in which 3 is much."
    if high <= 0:
        return f"In the first company 3 does not lie above the mean of all three, {3 - high:.4g}."
    if low >= 0:
        return f"In the second company 3 does not lie below the mean of all three, {3 - low:.4g}."
    return None


q5 = Exercise(
    title="Break it: a query judged by its company",
    stub=...,
    answer=((0.0, 0.0), (9.0, 9.0)),
    why="Batch norm asks whether 3 is much *here*, and the ReLU deletes what is not.",
    hints=(
        "Batch norm subtracts the mean of all three numbers. When is 3 above it?",
        "Two small companions make 3 large, two large ones make it small.",
    ),
    mutants=(
        Mutant(((0.0, 0.0), (0.0, 0.0)), "The query is the same, so its company has to differ."),
        Mutant(
            ((9.0, 9.0), (0.0, 0.0)),
            "You have found it, in the other order: the first should lift the query.",
        ),
        Mutant(((0.0, 0.0), (1.0, 2.0)), "Two companies with smaller numbers both lift the query."),
    ),
    behaviour=_company_problem,
)

RIGHT_LINES = {
    3: "Any K drawings will do as support. The question is which are left for the query.",
    5: "Class after class, as the drawings lie: these labels are right.",
    6: "Adaptation sees the support, and nothing else: as it should.",
    7: "All queries are answered together: transductive, as ours are, and not wrong by itself.",
}

q6 = Exercise(
    title="Find the bug: 99 % after ten minutes",
    stub=...,
    answer=4,
    why="The query is drawn from all 20 drawings again, so that now and then it *is* the support: "
    "`drawing[:, K:]` of one permutation can never be.",
    hints=(
        "The accuracy is too good. What could the network have seen before?",
        "Follow the 20 drawings of one character: which may become support, which query?",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in RIGHT_LINES.items()),
)
