"""Exercises of chapter 6, meta-learning."""

from functools import cache
from itertools import combinations, product

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def worth_of_advice(shots, tau, sigma):
    """Return how many readings a learner from scratch needs to be as good as the best mixture."""
    return shots + sigma**2 / tau**2


def _factories(rng):
    yield 2, 1.0, 2.0
    for shots in (1, 7):
        yield shots, rng.uniform(0.5, 2.0), rng.uniform(0.5, 3.0)


q1 = Exercise(
    title="How many readings the friend's advice is worth",
    stub=lambda shots, tau, sigma: None,
    answer=worth_of_advice,
    why="From scratch the error is sigma**2 / n; set it equal to the best error, whose inverse is "
    "1 / tau**2 + K / sigma**2. The advice counts as sigma**2 / tau**2 readings more.",
    hints=(
        "What is the error of n readings from scratch, as a formula?",
        "Set sigma**2 / n equal to the right side of equation (6.5) and solve for n.",
        "It is easier with inverses: 1 / error is 1 / tau**2 + shots / sigma**2.",
    ),
    mutants=(
        Mutant(
            lambda shots, tau, sigma: sigma**2 / tau**2,
            "This is what the advice adds. The readings themselves still count.",
        ),
        Mutant(
            lambda shots, tau, sigma: shots + tau**2 / sigma**2,
            "Turned round: advice is worth most where the tasks are alike, with a small tau.",
        ),
        Mutant(
            lambda shots, tau, sigma: shots + sigma / tau,
            "Errors are squares: take the variances, not the standard deviations.",
        ),
        Mutant(
            lambda shots, tau, sigma: 1 / (1 / tau**2 + shots / sigma**2),
            "This is the error of the best mixture. How many readings have that error?",
        ),
    ),
    cases=_factories,
)


def belief_after(belief, P, s, a, s_next):
    """Return the probabilities (tasks,) of the tasks after the transition from s by a to s_next."""
    joint = belief * P[:, s, a, s_next]
    return joint / joint.sum()


def _transitions(rng):
    for tasks, states, actions in ((2, 2, 1), (5, 3, 2)):
        P = rng.dirichlet(np.ones(states), size=(tasks, states, actions))
        s, s_next = rng.integers(states, size=2).tolist()
        yield rng.dirichlet(np.ones(tasks)), P, s, int(rng.integers(actions)), s_next


def _impossible_task_problem(answer):
    """Return what is wrong with `answer` after a step that one task rules out."""
    P = np.array([[[[1.0, 0.0]], [[1.0, 0.0]]], [[[0.5, 0.5]], [[0.5, 0.5]]]])
    after = np.asarray(answer(np.array([0.9, 0.1]), P, 0, 0, 1))
    if not np.allclose(after, [0.0, 1.0]):
        return f"Task 0 never makes this step, so its probability must be 0 after it, got {after}."
    return None


q2 = Exercise(
    title="The belief after one step",
    stub=lambda belief, P, s, a, s_next: None,
    answer=belief_after,
    why="Each task's probability is multiplied by how likely it made what happened, then all are "
    "divided by their sum.",
    hints=(
        "How likely is the step in each task? That is one column of `P`, (tasks,).",
        "Multiply it with the belief. What does the product sum to?",
        "`joint = belief * P[:, s, a, s_next]`, divided by its sum.",
    ),
    mutants=(
        Mutant(
            lambda belief, P, s, a, s_next: belief * P[:, s, a, s_next],
            "The denominator is missing: probabilities must sum to 1.",
        ),
        Mutant(
            lambda belief, P, s, a, s_next: P[:, s, a, s_next] / P[:, s, a, s_next].sum(),
            "The belief before the step has been forgotten.",
        ),
        Mutant(
            lambda belief, P, s, a, s_next: belief_after(belief, P, s_next, a, s),
            "The step went from `s` to `s_next`, not back.",
        ),
        Mutant(
            lambda belief, P, s, a, s_next: (
                (belief + P[:, s, a, s_next]) / (belief + P[:, s, a, s_next]).sum()
            ),
            "Prior and likelihood are multiplied, not added.",
        ),
    ),
    cases=_transitions,
    behaviour=_impossible_task_problem,
)

LOSS_LINES = {
    2: "The optimizer is right: it holds the meta-model's parameters, and only they should move.",
    6: "This makes the initial weights, with their graph. What becomes of the graph?",
    9: "`create_graph=True` is needed: the outer gradient passes through the inner one.",
    10: "The inner step is right: it makes new weights and changes none in place.",
    11: "The query loss of the adapted learner is the right thing to add up.",
    12: "The gradients must be cleared before each backward pass; here they are.",
}

q3 = Exercise(
    title="Find the bug: a meta-model outside its own loss",
    stub=...,
    answer=7,
    why="`tolist()` turns the weights into plain numbers: the loss no longer depends on the "
    "meta-model, its gradient is None, and the optimizer skips it.",
    hints=(
        "After the first backward pass, what is `meta_model`'s gradient?",
        "Follow the initial weights from the meta-model to the query loss. Is there a place where "
        "they stop being part of a graph?",
        "A list of Python numbers knows nothing of where they came from.",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in LOSS_LINES.items()),
)

ADAM_LINES = {
    5: "The sum belongs there: it starts anew in every batch.",
    7: "Each task must start from `theta`, and `phi` is a name of its own: this is right.",
    9: "The inner step is right, and keeps the graph that the outer gradient needs.",
    11: "Clearing the gradients in each batch is right: the next backward pass would add to them.",
    12: "The mean over the tasks of a batch is the meta-loss.",
}

q4 = Exercise(
    title="Find the bug: a program that ignores the minority",
    stub=...,
    answer=4,
    why="Adam is made anew in every batch, so each step is the sign of the gradient times the "
    "rate: a batch counts one vote, however strongly it pulls.",
    hints=(
        "What does the program remember from one batch to the next? What should it?",
        "Write down Adam's first step for a gradient of 0.01, then for one of 100.",
        "One line belongs above the loop.",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in ADAM_LINES.items()),
)

TASKS = np.arange(16)[:, None] >> np.arange(4) & 1  # (task, input): the value of each task there


def gain_of_support(probabilities, size):
    """Return by how much some `size` inputs seen raise the accuracy at another, at most, exactly.

    `probabilities` (16,) are those of the Boolean functions of two bits.
    """
    return max(
        _gain(probabilities, list(shown), asked)
        for asked in range(4)
        for shown in combinations(set(range(4)) - {asked}, size)
    )


def _gain(probabilities, shown, asked):
    """Return how much more often the best learner is right at `asked` for having seen `shown`."""
    is_one = TASKS[:, asked]

    def right(weights):  # the better of two guesses, for tasks of these weights
        return max(weights @ is_one, weights @ (1 - is_one))

    seen = (
        probabilities * (TASKS[:, shown] == y).all(axis=1)
        for y in product((0, 1), repeat=len(shown))
    )
    return sum(map(right, seen)) - right(probabilities)


def _helpful_problem(probabilities):
    """Return why meta-learning helps under `probabilities` (16,), or why they are none."""
    p = np.asarray(probabilities, dtype=float)
    if p.shape != (16,):
        return f"There are 16 tasks, so 16 probabilities are needed; got shape {p.shape}."
    if not np.isclose(p.sum(), 1.0) or (p < 0).any():
        return f"Probabilities are at least 0 and sum to 1; yours sum to {p.sum():.4g}."
    ones = p @ TASKS
    if (np.minimum(ones, 1 - ones) < 0.1 - 1e-9).any():
        return f"The shares of tasks with a 1 at the four inputs are {ones.round(3)}: too dull."
    for size in (1, 2, 3):
        if (gain := gain_of_support(p, size)) > 1e-9:
            return f"The values at {size} of the inputs help to guess another one: by {gain:.4g}."
    return None


def _equally(*tasks):
    """Return probabilities (16,) that are equal on the given tasks and 0 elsewhere."""
    return np.isin(np.arange(16), tasks) / len(tasks)


LINEAR = tuple(i for i in range(16) if i not in (6, 9))

q5 = Exercise(
    title="Break it: tasks on which meta-learning cannot help",
    stub=...,
    answer=[1 / 16] * 16,
    why="With all 16 functions equally likely, whatever was seen at some inputs, the value at "
    "another one is 0 and 1 in equally many of the tasks that are left. Any distribution with "
    "independent bits does as well, such as 1 with probability 0.3 at each input.",
    hints=(
        "The values at some inputs must say nothing about the value at another one.",
        "In words of probability: the four bits of the task must be independent.",
        "Four fair coins, thrown separately: how likely is each of the 16 results?",
    ),
    mutants=(
        Mutant(_equally(6), "One task only: nothing is left to adapt to, and nothing differs."),
        Mutant(
            _equally(6, 9),
            "Two tasks that are opposites: one look at any input tells which of the two it is.",
        ),
        Mutant(
            _equally(*LINEAR),
            "All but XOR and its opposite: one value seen makes another a better guess, 8 in 14.",
        ),
        Mutant(
            _equally(0, 3, 5, 6, 9, 10, 12, 15),
            "Only tasks with an even number of ones: three values determine the last one.",
        ),
    ),
    behaviour=_helpful_problem,
)


def bayes_and_fixed(tasks, pulls):
    """Return (value of the Bayes-optimal agent, value of the best single arm), exactly.

    `tasks` is ((p0, p1), (q0, q1)), equally likely probabilities of success.
    """
    tasks = np.asarray(tasks, dtype=float)

    @cache
    def value(left, counts):  # counts of (arm, failure or success)
        if not left:
            return 0.0
        n = np.array(counts).reshape(2, 2)
        belief = np.prod(tasks ** n[:, 1] * (1 - tasks) ** n[:, 0], axis=1)
        return max(q(left, counts, belief / belief.sum(), arm) for arm in (0, 1))

    def q(left, counts, belief, arm):
        total, p = 0.0, belief @ tasks[:, arm]
        for won, chance in ((1, p), (0, 1 - p)):
            if chance > 0:
                after = list(counts)
                after[2 * arm + won] += 1
                total += chance * (won + value(left - 1, tuple(after)))
        return total

    return value(pulls, (0, 0, 0, 0)), pulls * tasks.mean(axis=0).max()


def _remembering_problem(tasks):
    """Return why memory pays in the two `tasks` (2, 2), or why they are not what was asked for."""
    p = np.asarray(tasks, dtype=float)
    if p.shape != (2, 2):
        return f"Two tasks with two arms each are needed; got shape {p.shape}."
    if not ((p >= 0) & (p <= 1)).all():
        return f"Probabilities lie between 0 and 1, got {p.tolist()}."
    if (abs(p[0] - p[1]) < 0.2 - 1e-9).any():
        return "The rewards of some arm hardly tell the tasks apart: less than 0.2 between them."
    if (abs(p[:, 0] - p[:, 1]) < 0.1 - 1e-9).any():
        return "In some task the arms are less than 0.1 apart: it does not matter which is pulled."
    bayes, fixed = bayes_and_fixed(p, 10)
    if bayes > fixed + 1e-9:
        return f"Remembering pays: {bayes:.4f} in ten pulls, {fixed:.4f} with the best single arm."
    return None


q6 = Exercise(
    title="Open project: a bandit in which nobody needs a memory",
    stub=...,
    answer=((0.9, 0.1), (0.6, 0.4)),
    why="The rewards give the task away, but the same arm is best in both: knowing the task "
    "changes no action, so the knowledge is worth nothing.",
    hints=(
        "Knowledge of the task is worth something only if it changes what one does.",
        "Which arm is best in your first task, and which in the second?",
        "Let arm 0 be the better one in both tasks, by different margins.",
    ),
    mutants=(
        Mutant(((0.9, 0.1), (0.9, 0.1)), "Twice the same task: there is nothing to find out."),
        Mutant(
            ((0.9, 0.1), (0.1, 0.9)),
            "The best arm differs: here memory pays as much as it can.",
        ),
        Mutant(
            ((0.8, 0.8), (0.2, 0.2)),
            "The arms are equal within each task: no agent can do anything right or wrong.",
        ),
        Mutant(
            ((0.9, 0.1), (0.5, 0.6)),
            "Arm 0 is better on average, but not in both tasks: who finds out can still switch.",
        ),
    ),
    behaviour=_remembering_problem,
)
