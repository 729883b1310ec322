"""Exercises of chapter 14, Meta-DQN."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def momentum_update(gradient, memory):
    """Return (step, memory), both (D,): momentum 0.9 with rate 0.1."""
    memory = 0.9 * memory + gradient
    return -0.1 * memory, memory


def _gradients_with_memories(rng):
    for size in (1, 4):
        yield rng.normal(size=size), rng.normal(size=size)


q1 = Exercise(
    title="Momentum as a function with a memory",
    stub=lambda gradient, memory: None,
    answer=momentum_update,
    why="The memory is all that momentum carries along; the step is a multiple of the new one.",
    hints=(
        "Two results: first the step, then what is to be remembered.",
        "The new memory is 0.9 times the old one plus the gradient.",
        "`memory = 0.9 * memory + gradient`, then `return -0.1 * memory, memory`.",
    ),
    mutants=(
        Mutant(
            lambda gradient, memory: (-0.1 * memory, 0.9 * memory + gradient),
            "The step uses the old memory: the gradient of this update is not in it yet.",
        ),
        Mutant(
            lambda gradient, memory: (-0.1 * gradient, 0.9 * memory + gradient),
            "The memory is kept, but the step does not listen to it: this is plain descent.",
        ),
        Mutant(
            lambda gradient, memory: (0.1 * (0.9 * memory + gradient), 0.9 * memory + gradient),
            "The sign: an optimizer goes down, against the gradient.",
        ),
        Mutant(
            lambda gradient, memory: (
                -0.1 * (0.9 * memory + 0.1 * gradient),
                0.9 * memory + 0.1 * gradient,
            ),
            "This is an average, as in Adam; momentum adds the whole gradient.",
        ),
    ),
    cases=_gradients_with_memories,
)


def preprocess(gradient):
    """Return (D, 2): log size and sign of gradients (D,), with p = 10."""
    size = np.log(np.maximum(np.abs(gradient), 1e-300)) / 10
    large = size >= -1
    sign = np.where(large, np.sign(gradient), np.exp(10) * gradient)
    return np.stack([np.where(large, size, -1.0), sign], axis=1)


def _gradients_of_all_sizes(rng):
    for size in (3, 8):
        yield (rng.choice([-1, 1], size=size) * np.exp(rng.uniform(-20, 3, size=size)),)
    yield (np.array([1.0, -1e-6, 0.0]),)


q2 = Exercise(
    title="Gradients in a form that a network can read",
    stub=lambda gradient: None,
    answer=preprocess,
    why="Both numbers stay of order one over any number of powers of ten, and join where "
    "the absolute gradient is exp(-10).",
    hints=(
        "Two cases, by whether the absolute gradient is at least exp(-10).",
        "`np.where(large, ..., ...)` once for each of the two columns.",
        "Large: log(abs(g)) / 10 and the sign. Small: -1 and exp(10) times g.",
    ),
    mutants=(
        Mutant(
            lambda gradient: preprocess(gradient)[:, ::-1],
            "The columns are the other way round: first the size, then the sign.",
        ),
        Mutant(
            lambda gradient: np.stack([preprocess(gradient)[:, 0], np.sign(gradient)], axis=1),
            "A tiny gradient still gets a whole sign: it should fade, exp(10) times g.",
        ),
        Mutant(
            lambda gradient: np.stack(
                [
                    np.log(np.maximum(np.abs(gradient), 1e-300)) / 10,
                    preprocess(gradient)[:, 1],
                ],
                axis=1,
            ),
            "The size goes below -1 for tiny gradients: hold it at -1.",
        ),
        Mutant(
            lambda gradient: preprocess(gradient) * [10.0, 1.0],
            "The division of the logarithm by p = 10 is missing.",
        ),
    ),
    cases=_gradients_of_all_sizes,
)


def train(update, world, theta, num_updates):
    """Return theta after `num_updates` updates, each from one batch of the world's experience."""
    memory = 0.0
    world.reset()
    for _ in range(num_updates):
        gradient = world.gradient(theta, world.batch())
        step, memory = update(gradient, memory)
        theta = theta + step
    return theta


def _fed_a_constant(update, world, theta, num_updates):
    memory = 0.0
    world.reset()
    for _ in range(num_updates):
        world.batch()
        step, memory = update(1.0, memory)
        theta = theta + step
    return theta


def _reset_every_step(update, world, theta, num_updates):
    memory = 0.0
    for _ in range(num_updates):
        world.reset()
        step, memory = update(world.gradient(theta, world.batch()), memory)
        theta = theta + step
    return theta


def _forgets(update, world, theta, num_updates):
    world.reset()
    for _ in range(num_updates):
        step, _ = update(world.gradient(theta, world.batch()), 0.0)
        theta = theta + step
    return theta


def _stale(update, world, theta, num_updates):
    memory, start = 0.0, theta
    world.reset()
    for _ in range(num_updates):
        step, memory = update(world.gradient(start, world.batch()), memory)
        theta = theta + step
    return theta


class _World:
    """A corridor of rewards, one a step; the gradient pulls theta to the reward just seen."""

    def __init__(self) -> None:
        self.resets, self.time, self.gradients = 0, None, []

    def reset(self) -> None:
        self.resets, self.time = self.resets + 1, 0

    def batch(self) -> float:
        if self.time is None:
            raise ValueError("the world was never reset")
        self.time += 1
        return 0.5 * self.time

    def gradient(self, theta: float, batch: float) -> float:
        self.gradients.append(theta - batch)
        return self.gradients[-1]


def _repair_problem(answer):
    """Return the first of the four faults that `answer`, a training program, still has."""
    world, told, given = _World(), [], []

    def update(gradient, memory):
        told.append(gradient)
        given.append(memory)
        memory = 0.5 * memory + gradient
        return -0.2 * memory, memory

    theta = answer(update, world, 2.0, 4)
    if told != world.gradients or len(told) != 4:
        return f"The optimizer was told {np.round(told, 3).tolist()}, which are not the gradients."
    if world.resets != 1:
        return f"In 4 updates the world was reset {world.resets} times, so nobody gets anywhere."
    if not any(given):
        return "The optimizer was given an empty memory at every update."
    right = train(update, _World(), 2.0, 4)
    if abs(theta - right) > 1e-9:
        return f"theta ends at {theta:.4f}, but should be {right:.4f}: which theta did it ask at?"
    return None


q3 = Exercise(
    title="Find the bugs, all four: a program that learns nothing from its gradients",
    stub=lambda update, world, theta, num_updates: None,
    answer=train,
    why="The gradient is the current one at the current theta, memory and world are carried along.",
    hints=(
        "Ask of every name in the loop: who made this value, and when?",
        "What changes from one update to the next: the batch, theta, the memory. All three must.",
        "`reset` before the loop; in it `batch`, `gradient(theta, ...)`, `update`, `theta + step`.",
    ),
    mutants=(
        Mutant(
            _fed_a_constant,
            "The optimizer is fed with a constant: its steps are the same for every task.",
        ),
        Mutant(
            _reset_every_step,
            "The world begins anew at every step: the agent knows its first moment only.",
        ),
        Mutant(
            _forgets,
            "The memory is thrown away at every update: an LSTM without its state is no LSTM.",
        ),
        Mutant(
            _stale,
            "The gradient is asked at the first theta for ever: nobody sees what a step did.",
        ),
    ),
    behaviour=_repair_problem,
)


def _discount_problem(gamma):
    """Return what is wrong with `gamma` as one for which descent on the semi-gradient diverges."""
    if isinstance(gamma, bool) or not isinstance(gamma, int | float) or not 0 <= gamma < 1:
        return f"A discount lies in [0, 1), got {gamma!r}."
    for lr in (0.01, 0.1):
        w = 1.0
        for _ in range(2_000):
            w -= lr * (w - gamma * 2 * w) * 1.0
        if abs(w) <= 1.0:
            return f"With rate {lr} the weight goes from 1 to {w:.3g}: no divergence."
    return None


q4 = Exercise(
    title="Break it: no learning rate is small enough",
    stub=...,
    answer=0.9,
    why="The error is w - 2 gamma w and its derivative by the first w is 1: w is multiplied with "
    "1 + lr (2 gamma - 1), which exceeds 1 for every rate once gamma is above one half.",
    hints=(
        "Write down what one update multiplies w with.",
        "1 - lr (1 - 2 gamma): for which gamma is this above 1?",
    ),
    mutants=(
        Mutant(0.5, "At exactly one half the error is zero for every w: nothing moves."),
        Mutant(0.3, "Below one half the value of the next state counts for less than this one's."),
        Mutant(1.5, "That diverges, but with it so does the return: no discount is above 1."),
    ),
    behaviour=_discount_problem,
)


def evolution_gradient(score, weights, perturbations, noise):
    """Return the antithetic estimate (P,) of the gradient of `score`, from perturbations (n, P)."""
    total = np.zeros_like(weights)
    for e in perturbations:
        total += e * (score(weights + e) - score(weights - e))
    return total / (2 * noise**2 * len(perturbations))


def _one_sided(score, weights, perturbations, noise):
    slopes = np.array([score(weights + e) for e in perturbations])
    return slopes @ perturbations / (noise**2 * len(perturbations))


def _scores(rng):
    for size in (1, 3):
        goal, noise = rng.normal(size=size), 0.1
        curvature = rng.uniform(0.5, 2.0, size=size)
        yield (
            lambda w, goal=goal, curvature=curvature: float((curvature * (w - goal) ** 2).sum()),
            rng.normal(size=size),
            noise * rng.normal(size=(6, size)),
            noise,
        )


q5 = Exercise(
    title="Evolution strategies: a gradient from scores alone",
    stub=lambda score, weights, perturbations, noise: None,
    answer=evolution_gradient,
    why="Each pair measures the slope along e; weighted with e and divided by the variance of e, "
    "the mean is the gradient.",
    hints=(
        "For each e: score at weights + e, score at weights - e, and their difference.",
        "Weight each difference with its e, and take the mean over the pairs.",
        "Divide by 2 noise**2: noise**2 is the variance of e, 2 the two steps from - to +.",
    ),
    mutants=(
        Mutant(
            _one_sided,
            "Only weights + e are tried: right on average, but the score's own size is all noise.",
        ),
        Mutant(
            lambda score, weights, perturbations, noise: (
                noise * evolution_gradient(score, weights, perturbations, noise)
            ),
            "The division is by noise, not by its square: e itself is of size noise.",
        ),
        Mutant(
            lambda score, weights, perturbations, noise: (
                2 * evolution_gradient(score, weights, perturbations, noise)
            ),
            "From - e to + e are two steps: the factor 2 in the denominator is missing.",
        ),
        Mutant(
            lambda score, weights, perturbations, noise: (
                -evolution_gradient(score, weights, perturbations, noise)
            ),
            "The sign is turned round: this points downhill already.",
        ),
    ),
    cases=_scores,
)
