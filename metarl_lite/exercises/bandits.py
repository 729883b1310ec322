"""Exercises of chapter 2, bandits."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant
from metarl_lite.oracles.bayes_optimal import bayes_optimal_q
from metarl_lite.oracles.gittins import gittins_index

HORIZON = 20  # of exercise 4


def regret_of_chance(means, n):
    """Return the regret of pulling arms at random `n` times, for `means` of shape (arms,)."""
    return n * (means.max() - means.mean())


def _rows_of_means(rng):
    for num_arms in (2, 5):
        yield rng.random(num_arms), int(rng.integers(10, 100))


def _over_worse_arms(means, n):
    gaps = means.max() - means
    return n * gaps[gaps > 0].mean()


q1 = Exercise(
    title="The regret of pulling at random",
    stub=lambda means, n: None,
    answer=regret_of_chance,
    why="Each pull loses the average gap, and the average gap is the best mean minus the mean.",
    hints=(
        "How much does one random pull lose on average, compared with the best arm?",
        "Every arm comes with probability 1 / arms, the best one too, where the gap is 0.",
        "`means.max() - means.mean()` is lost at each of the `n` pulls.",
    ),
    mutants=(
        Mutant(
            lambda means, n: n * means.max(),
            "This is what the best arm earns; regret is that minus what chance earns.",
        ),
        Mutant(
            _over_worse_arms,
            "Chance pulls the best arm too, and loses nothing there: average over all arms.",
        ),
        Mutant(
            lambda means, n: n * (means.max() - means.min()),
            "That is the worst possible regret: pulling the worst arm every time.",
        ),
    ),
    cases=_rows_of_means,
)


def gaussian_thompson(pulls, totals, rng):
    """Return one draw of every arm's posterior, (task, arm): prior N(0, 1), noise N(0, 1)."""
    return rng.normal(totals / (pulls + 1), 1 / np.sqrt(pulls + 1))


def _posterior_problem(agent):
    """Return what is wrong with the scores of 4,000 equal tasks with three arms."""
    pulls, totals = np.tile([0, 3, 24], (4_000, 1)), np.tile([0.0, 6.0, -12.0], (4_000, 1))
    draws = np.asarray(agent(pulls, totals, np.random.default_rng(0)))
    centre, spread = np.array([0, 1.5, -0.48]), np.array([1, 0.5, 0.2])
    if draws.shape != pulls.shape:
        return f"The scores should have shape (task, arm) = {pulls.shape}, got {draws.shape}."
    if (draws.std(axis=0) < 1e-9).any():
        return "All tasks with the same counts get the same scores: nothing is drawn."
    if (abs(draws.std(axis=0) / spread - 1) > 0.07).any():  # 6 standard errors
        return f"Arms pulled 0, 3, 24 times should spread by {spread} (standard deviation)."
    if (abs(draws.mean(axis=0) - centre) > 6 * spread / 4_000**0.5).any():
        return f"Totals of 0, 6, -12 in 0, 3, 24 pulls should centre on {centre}."
    return None


q2 = Exercise(
    title="Thompson sampling for Gaussian arms",
    stub=lambda pulls, totals, rng: None,
    answer=gaussian_thompson,
    why="The prior counts like one pull that paid 0; precisions add up, so 1 + n is the precision.",
    hints=(
        "Precision is 1 over variance. Prior and every reward have precision 1. They add up.",
        "After n pulls the posterior variance is 1 / (n + 1) and its mean totals / (n + 1).",
        "Draw with `rng.normal(mean, standard_deviation)`: the root of the variance.",
    ),
    mutants=(
        Mutant(
            lambda pulls, totals, rng: rng.normal(totals / (pulls + 1), 1 / (pulls + 1)),
            "`rng.normal` wants the standard deviation; 1 / (n + 1) is the variance.",
        ),
        Mutant(
            lambda pulls, totals, rng: rng.normal(
                totals / np.maximum(pulls, 1), 1 / np.sqrt(pulls + 1)
            ),
            "The centre is the sample mean: the prior pulls it towards 0, like one more reward.",
        ),
        Mutant(
            lambda pulls, totals, rng: totals / (pulls + 1),
            "This is the posterior mean, so the agent is greedy: draw from the posterior.",
        ),
    ),
    behaviour=_posterior_problem,
)

BUGS = {
    4: "Pulling every arm once to begin with is right: line 6 divides by the pulls.",
    6: "The bonus is right: it shrinks with the arm's own pulls and grows with time.",
    9: "Counting the pulls of this arm only is right.",
    10: "Adding the reward to this arm's total is right.",
}

q3 = Exercise(
    title="Find the bug: love at first sight",
    stub=...,
    answer=7,
    why="Line 7 adds the bonus to the sum of the rewards: whoever was pulled most looks best.",
    hints=(
        "The arm pulled most often wins again and again, even if it pays badly. Why?",
        "Compare with equation (2.5), term by term.",
        "Which of the quantities in the score grows with every success and never comes down?",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in BUGS.items()),
)


def _counterexample_problem(counts):
    """Return why the index policy does nothing wrong at these counts, (s0, f0, s1, f1)."""
    counts = np.asarray(counts)
    if counts.shape != (4,) or counts.dtype.kind not in "iu" or (counts < 0).any():
        return "Hand in four whole numbers: successes and failures of arm 0, then of arm 1."
    t = int(counts.sum())
    if t >= HORIZON:
        return f"After {t} pulls nothing is left to decide: there are {HORIZON}."
    s0, f0, s1, _ = counts
    index = gittins_index(counts[[0, 2]], counts[[1, 3]], gamma=1.0, depth=HORIZON - t)
    values = bayes_optimal_q(HORIZON)[t][s0 + f0, s0, s1]
    if abs(index[0] - index[1]) < 1e-6:
        return "Both arms have the same index here, so the policy has no opinion."
    if values[index.argmax()] > values.max() - 1e-6:
        return "Here the arm with the higher index is a best one."
    return None


q4 = Exercise(
    title="Break it: where the index policy is wrong",
    stub=...,
    answer=(8, 4, 0, 0),
    why="A good known arm against an unknown one: trying it costs little, and the good one waits.",
    hints=(
        "The tables know: compare `finite_horizon_gittins(20)` with `bayes_optimal_q(20)`.",
        "Loop over t, the pulls of arm 0 and both successes; look where the two disagree.",
        "Try an arm that succeeded 8 times in 12 against one that was never pulled.",
    ),
    mutants=(
        Mutant((0, 0, 0, 0), "Two arms about which nothing is known are equally good."),
        Mutant(
            (3, 1, 0, 0), "The policy is right there: it nearly always is. Search, do not guess."
        ),
        Mutant((12, 4, 3, 1), "All 20 pulls are spent: leave some, or there is no decision."),
    ),
    behaviour=_counterexample_problem,
)


def linucb_scores(A, b, x, width):
    """Return the scores (arms,) of LinUCB in context `x` (d,); A is (arms, d, d), b (arms, d)."""
    inverse = np.linalg.inv(A)
    theta = np.einsum("kij,kj->ki", inverse, b)
    return theta @ x + width * np.sqrt(np.einsum("i,kij,j->k", x, inverse, x))


def _contexts(rng):
    for num_arms, d in ((2, 2), (4, 3)):
        seen = rng.normal(size=(num_arms, 6, d))  # six contexts an arm
        A = np.eye(d) + np.einsum("kni,knj->kij", seen, seen)
        b = np.einsum("kni,kn->ki", seen, rng.normal(size=(num_arms, 6)))
        yield A, b, rng.normal(size=d), 0.5


q5 = Exercise(
    title="Open project: a bandit that sees a context",
    stub=lambda A, b, x, width: None,
    answer=linucb_scores,
    why="Ridge regression gives each arm's guess, and x A^-1 x its variance in this direction.",
    hints=(
        "theta of an arm solves A theta = b; the guess is theta times x.",
        "The variance of that guess is x A^-1 x: small where many such contexts were seen.",
        "The bonus is `width` times its root; `np.linalg.inv` inverts all arms at once.",
    ),
    mutants=(
        Mutant(
            lambda A, b, x, width: (
                np.linalg.solve(A, b[..., None])[..., 0] @ x
                + width * np.einsum("i,kij,j->k", x, np.linalg.inv(A), x)
            ),
            "The bonus is the variance: take its root, the standard deviation.",
        ),
        Mutant(
            lambda A, b, x, width: linucb_scores(A, np.einsum("kij,kj->ki", A, b), x, width),
            "The guess is b times x: b is a sum over all contexts, divide by A first.",
        ),
        Mutant(
            lambda A, b, x, width: linucb_scores(A, b, x, -width),
            "This is a lower bound, so it avoids what it does not know: add the bonus.",
        ),
    ),
    cases=_contexts,
)
