"""Exercises of chapter 8, Reptile."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def update(theta, adapted, beta):
    """Return theta (D,) moved by the share beta towards the mean of adapted (M, D)."""
    return theta + beta * (adapted.mean(axis=0) - theta)


def _ends(rng):
    for num_tasks, size in ((2, 3), (5, 1)):
        yield rng.normal(size=size), rng.normal(size=(num_tasks, size)), rng.uniform(0.1, 0.4)


q1 = Exercise(
    title="The outer update",
    stub=lambda theta, adapted, beta: None,
    answer=update,
    why="The mean of the moves is the mean of the ends minus the start; beta is how far to go.",
    hints=(
        "Where did the tasks end on average, and how far is that from theta?",
        "Task is the first axis of `adapted`: take the mean over axis 0.",
        "`theta + beta * (mean - theta)`.",
    ),
    mutants=(
        Mutant(
            lambda theta, adapted, beta: theta - beta * (adapted.mean(axis=0) - theta),
            "This walks away from the tasks: the move is not a gradient, it points downhill.",
        ),
        Mutant(
            lambda theta, adapted, beta: theta + beta * (adapted - theta).sum(axis=0),
            "This adds the moves of all tasks; equation (8.2) takes their mean.",
        ),
        Mutant(
            lambda theta, adapted, beta: adapted.mean(axis=0),
            "This goes all the way to the mean: the outer rate is missing.",
        ),
        Mutant(
            lambda theta, adapted, beta: beta * theta + (1 - beta) * adapted.mean(axis=0),
            "The two weights are exchanged: with beta = 0 nothing should move.",
        ),
    ),
    cases=_ends,
)


def coefficients(v):
    """Return the coefficients (2,) of AvgGrad and -alpha AvgGradInner for weights v (k,)."""
    earlier = np.arange(len(v))  # how many steps came before gradient j
    return np.array([v.sum(), v @ earlier])


def _weights(rng):
    yield (np.ones(4),)
    yield (np.array([0.0, 0.0, 1.0]),)
    yield (rng.normal(size=5),)


q2 = Exercise(
    title="Any sum of inner gradients",
    stub=lambda v: None,
    answer=coefficients,
    why="Gradient j is AvgGrad on average, and its expansion has one pair for each earlier step.",
    hints=(
        "Take the mean of equation (8.5) for a single j first.",
        "Every g_j brings one AvgGrad. How many terms has its sum over l < j?",
        "`v.sum()`, and v weighted with 0, 1, ..., k - 1.",
    ),
    mutants=(
        Mutant(
            lambda v: np.array([v.sum(), v @ np.arange(1, len(v) + 1)]),
            "The first gradient has no step before it: count from 0.",
        ),
        Mutant(
            lambda v: np.array([v.sum(), v @ np.arange(len(v))[::-1]]),
            "These count the steps that come after a gradient; what moves it are those before.",
        ),
        Mutant(
            lambda v: np.array([v.sum(), v.sum() * (len(v) - 1) / 2]),
            "This spreads the pairs evenly: right for equal weights only.",
        ),
        Mutant(
            lambda v: np.array([v.sum(), 2 * v @ np.arange(len(v))]),
            "Twice as many pairs is MAML, whose factors bring the second half.",
        ),
    ),
    cases=_weights,
)


def inner_without_replacement(g, H):
    """Return the mean of H_i g_j over pairs of different minibatches, (D,)."""
    num = len(g)
    same = np.einsum("nde,ne->d", H, g)
    return (H.sum(axis=0) @ g.sum(axis=0) - same) / (num * (num - 1))


def _minibatches(rng):
    for num, size in ((2, 1), (4, 3)):
        H = rng.normal(size=(num, size, size))
        yield rng.normal(size=(num, size)), H + H.swapaxes(1, 2)


q3 = Exercise(
    title="Minibatches without replacement",
    stub=lambda g, H: None,
    answer=inner_without_replacement,
    why="Of the n * n pairs, the n in which a minibatch meets itself drop out of sum and count.",
    hints=(
        "Which pairs (i, j) can be drawn now, and how many of them are there?",
        "All pairs together give `H.sum(axis=0) @ g.sum(axis=0)`. Which are too many?",
        "Take the sum of H_j g_j off, and divide by n (n - 1).",
    ),
    mutants=(
        Mutant(
            lambda g, H: H.mean(axis=0) @ g.mean(axis=0),
            "This is drawing with replacement: a minibatch may meet itself.",
        ),
        Mutant(
            lambda g, H: np.einsum("nde,ne->d", H, g) / len(g),
            "Here every minibatch meets itself and nobody else.",
        ),
        Mutant(
            lambda g, H: inner_without_replacement(g, H) * (len(g) - 1) / len(g),
            "The sum is right; there are n (n - 1) pairs of different minibatches, not n * n.",
        ),
    ),
    cases=_minibatches,
)


def settles(weight, c):
    """Return the place with the least weighted sum of squared distances to the minima c (M,)."""
    return weight @ c / weight.sum()


def loss_after_adapting(s, c, alpha, k, k_test):
    """Return the mean loss after k_test steps from where Reptile with k inner steps settles."""
    theta = settles(1 - (1 - alpha * s) ** k, c)
    distance = (1 - alpha * s) ** k_test * (theta - c)
    return 0.5 * (s * distance**2).mean()


def _steepness_problem(pair):
    """Return what is wrong with `pair` as steepnesses under which joint training is better."""
    s, c = np.asarray(pair, dtype=float), np.array([0.0, 1.0])
    if s.shape != (2,) or not ((s > 0) & (s < 1)).all():
        return "This should be two steepnesses, each between 0 and 1."
    reptile, joint = (loss_after_adapting(s, c, 1.0, k, 1) for k in (100, 1))
    if np.isclose(reptile, joint, rtol=1e-3):
        return "Reptile and joint training are equally good here, to a part in a thousand."
    if reptile < joint:
        return "Reptile's start is the better one here."
    return None


q4 = Exercise(
    title="Break it: where joint training waits at a better place",
    stub=...,
    answer=(0.05, 0.3),
    why="One step changes little in valleys as shallow as these, so losses should count nearly as "
    "they are: by s, as joint training weighs them, and not all alike.",
    hints=(
        "Which weights are best for one step? The table in section 8.2 has them, in MAML's line.",
        "For s below a third, s (1 - s)**2 still grows with s. Reptile's weights are all near 1.",
        "Two shallow valleys, one of them several times as steep as the other.",
    ),
    mutants=(
        Mutant((0.3, 0.3), "Alike valleys have alike weights, whoever weighs them."),
        Mutant(
            (0.1, 0.95),
            "After one step the steep valley costs nothing, and joint training waits beside it.",
        ),
        Mutant((0.5, 2.5), "With steps of size 1 a valley steeper than 2 is never reached."),
    ),
    behaviour=_steepness_problem,
)

RIGHT_LINES = {
    2: "The outer rate falls from 1 to 0, as it should.",
    5: "A new optimizer for each task is right: nothing of one task leaks into the next.",
    6: "Five minibatches of the same task: this is the inner loop.",
    9: "The inner step is ordinary training. What does it do to the parameters in place?",
    12: "The formula is equation (8.2). What is the value of `before[name]` by then?",
}

q5 = Exercise(
    title="Find the bug: a start that is nowhere kept",
    stub=...,
    answer=4,
    why="`before` holds the parameters themselves, not copies: training changes both, their "
    "difference is always zero, and the net stays wherever the last task left it. Clone them.",
    hints=(
        "Compute p - before[name] in line 12 by hand, for any parameter.",
        "The optimizer changes parameters in place. Who else holds them?",
        "What should be a copy, and is a reference?",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in RIGHT_LINES.items()),
)


def _families(rng):
    for num_tasks, k, k_test in ((2, 3, 1), (4, 1, 5), (3, 8, 0)):
        yield (
            *(rng.uniform(0.2, 1.5, size=num_tasks), rng.normal(size=num_tasks)),
            *(rng.uniform(0.1, 0.5), k, k_test),
        )


q6 = Exercise(
    title="Open project: how many inner steps?",
    stub=lambda s, c, alpha, k, k_test: None,
    answer=loss_after_adapting,
    why="Reptile settles at the mean of the minima, weighted as in equation (8.3); then each "
    "distance shrinks by 1 - alpha s a step, and the loss with its square.",
    hints=(
        "Two questions: where does Reptile settle, and what is left after k_test steps from there?",
        "A weighted mean of the minima, with the weights 1 - (1 - alpha s)**k.",
        "The distance after k_test steps is (1 - alpha s)**k_test times what it was.",
    ),
    mutants=(
        Mutant(
            lambda s, c, alpha, k, k_test: loss_after_adapting(s, c, alpha, 1, k_test),
            "These are joint training's weights, s: those of one inner step.",
        ),
        Mutant(
            lambda s, c, alpha, k, k_test: loss_after_adapting(s, c, alpha, k, k),
            "k is for training, k_test for the steps afterwards; here both are k.",
        ),
        Mutant(
            lambda s, c, alpha, k, k_test: loss_after_adapting(s, c, alpha, k, k_test / 2),
            "The distance shrinks by 1 - alpha s a step, the loss by the square of that.",
        ),
        Mutant(
            lambda s, c, alpha, k, k_test: loss_after_adapting(s, c, alpha, k, 0),
            "This is the loss before the first step.",
        ),
    ),
    cases=_families,
)
