"""Exercises of chapter 4, policy gradients."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def reward_to_go(reward, gamma):
    """Return G_t = R_{t+1} + gamma G_{t+1}, (T,), for the rewards (T,) of one whole episode."""
    returns, later = np.zeros(len(reward)), 0.0
    for t in reversed(range(len(reward))):
        later = returns[t] = reward[t] + gamma * later
    return returns


def _episodes(rng):
    for length in (1, 4, 9):
        yield rng.normal(size=length), rng.uniform(0.5, 0.95)


q1 = Exercise(
    title="Reward to go",
    stub=lambda reward, gamma: None,
    answer=reward_to_go,
    why="Going backwards, each return is one multiplication and one addition away from the next.",
    hints=(
        "The return of the last step is its reward. What is that of the step before?",
        "Walk through time backwards and carry the later return along.",
        "`later = reward[t] + gamma * later`, from t = T - 1 down to 0.",
    ),
    mutants=(
        Mutant(
            lambda reward, gamma: (reward * gamma ** np.arange(len(reward))).cumsum(),
            "This sums forwards: each step is judged by what came before it.",
        ),
        Mutant(
            lambda reward, gamma: reward[::-1].cumsum()[::-1],
            "The discount is missing.",
        ),
        Mutant(
            lambda reward, gamma: np.full(len(reward), reward_to_go(reward, gamma)[0]),
            "This is the return of the whole episode at every step: the past is still in it.",
        ),
        Mutant(
            lambda reward, gamma: gamma ** np.arange(len(reward)) * reward_to_go(reward, gamma),
            "Each return is discounted from its own step on, not from the start of the episode.",
        ),
    ),
    cases=_episodes,
)


def gaussian_score(action, mu, log_sigma):
    """Return (N, 2): the derivatives of log pi(action) by mu and by log sigma."""
    z = (action - mu) / np.exp(log_sigma)
    return np.stack([z / np.exp(log_sigma), z**2 - 1], axis=1)


def _throws(rng):
    for size in (1, 6):
        yield rng.normal(size=size), float(rng.normal()), float(rng.uniform(-1.5, -0.5))


q2 = Exercise(
    title="The scores of a Gaussian policy",
    stub=lambda action, mu, log_sigma: None,
    answer=gaussian_score,
    why="log pi is -z**2 / 2 - log sigma plus a constant, with z = (a - mu) / sigma.",
    hints=(
        "Write down log pi as a function of mu and of s = log sigma, and differentiate by each.",
        "sigma is `np.exp(log_sigma)`, and its derivative by log sigma is sigma itself.",
        "`np.stack([..., ...], axis=1)` with the two expressions of equation (4.16).",
    ),
    mutants=(
        Mutant(
            lambda action, mu, log_sigma: gaussian_score(action, mu, np.log(log_sigma**2) / 2),
            "`log_sigma` was taken for sigma: take its exponential first.",
        ),
        Mutant(
            lambda action, mu, log_sigma: (
                gaussian_score(action, mu, log_sigma) / [1.0, np.exp(log_sigma)]
            ),
            "The second column is the derivative by sigma: by log sigma it is sigma times that.",
        ),
        Mutant(
            lambda action, mu, log_sigma: -gaussian_score(action, mu, log_sigma),
            "The sign is turned round: an action above mu becomes likelier when mu grows.",
        ),
        Mutant(
            lambda action, mu, log_sigma: gaussian_score(action, mu, log_sigma) + np.eye(2)[1],
            "The -1 is missing: the factor 1 / sigma of the density depends on sigma too.",
        ),
    ),
    cases=_throws,
)


def baseline_bias(pi, b):
    """Return E[b(A) grad log pi(A)], (A,), for softmax probabilities and a baseline, both (A,)."""
    return pi * (b - pi @ b)


def _policies_with_baselines(rng):
    yield np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.0, 0.0])
    for num_actions in (2, 5):
        yield rng.dirichlet(np.ones(num_actions)), rng.normal(size=num_actions)


def _constant_baseline_problem(answer):
    """Return what is wrong with `answer` where the baseline does not depend on the action."""
    bias = np.asarray(answer(np.array([0.2, 0.3, 0.5]), np.full(3, 7.0)))
    if abs(bias).max() > 1e-9:
        return f"A baseline of 7 for every action must have no bias at all, here it has {bias}."
    return None


q3 = Exercise(
    title="What a baseline does to the expected gradient",
    stub=lambda pi, b: None,
    answer=baseline_bias,
    why="Component k is the sum of pi(a) b(a) (1[a = k] - pi(k)) over a, pi(k) (b(k) - mean of b): "
    "zero for every policy just when b is constant.",
    hints=(
        "An expectation over actions is a sum of pi(a) times what stands inside the brackets.",
        "Component k of the score of action a is 1[a = k] - pi(k): two sums, one of them short.",
        "pi(k) b(k) minus pi(k) times the mean of b under pi, `pi @ b`.",
    ),
    mutants=(
        Mutant(
            lambda pi, b: np.zeros_like(pi),
            "Zero is right for a baseline without the action; this one may depend on it.",
        ),
        Mutant(
            lambda pi, b: b - pi @ b,
            "The probability of the action in front is missing: rare actions are sampled rarely.",
        ),
        Mutant(
            lambda pi, b: pi * (b - b.mean()),
            "The mean of b is one under the policy, not over the actions: `pi @ b`.",
        ),
        Mutant(
            lambda pi, b: pi * b,
            "The second part of the score, minus pi, is missing.",
        ),
    ),
    cases=_policies_with_baselines,
    behaviour=_constant_baseline_problem,
)

PAYS, CHANCES = np.array([0.8, 0.5, 0.2]), np.array([0.2, 0.3, 0.5])


def _reversal_problem(baseline):
    """Return what is wrong with `baseline` (3,) as one that turns the gradient round."""
    b = np.asarray(baseline, dtype=float)
    if b.shape != (3,):
        return f"The baseline needs three numbers, one for each button, and has shape {b.shape}."
    true = baseline_bias(CHANCES, PAYS)
    found = baseline_bias(CHANCES, PAYS - b)
    if np.allclose(found, true):
        return "The expected gradient is the true one still."
    if np.allclose(found, 0.0):
        return "The expected gradient is zero now, but not reversed."
    if not np.allclose(found, -true):
        return f"The expected gradient is {found.round(3)}; the opposite is {-true.round(3)}."
    return None


q4 = Exercise(
    title="Break it: a baseline that turns the gradient round",
    stub=...,
    answer=(1.6, 1.0, 0.4),
    why="With b = 2 r what is left is r - 2 r = -r; any constant may be added, it has no bias.",
    hints=(
        "The gradient is linear in r - b. Which r - b would give the opposite arrow?",
        "Solve r - b = -r for b.",
    ),
    mutants=(
        Mutant((0.5, 0.5, 0.5), "A baseline that is the same for all actions changes nothing."),
        Mutant(
            (0.8, 0.5, 0.2), "Subtracting exactly what each action pays leaves nothing to learn."
        ),
        Mutant((-0.8, -0.5, -0.2), "Subtracting -r doubles the gradient: look at the sign."),
    ),
    behaviour=_reversal_problem,
)

RIGHT_LINES = {
    4: "Going backwards is right: each return is built from the one after it.",
    5: "The recursion itself is right. What does G hold when it is used for the first time?",
    7: "The baseline is detached, as it should be, and depends on the state only.",
    9: "The sign is right: minus, because an optimizer goes down.",
    10: "The sum over steps, divided by the number of episodes, is equation (4.19).",
}

q5 = Exercise(
    title="Find the bug: an agent that takes credit for other episodes",
    stub=...,
    answer=2,
    why="G must start at 0 in every episode; set in line 2 only, it carries the return of one "
    "episode into the last step of the next one.",
    hints=(
        "Follow G through two episodes by hand.",
        "What follows the last step of an episode that has ended? What does the program add?",
        "One assignment stands on the wrong side of a `for`.",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in RIGHT_LINES.items()),
)


def best_baseline(score, return_):
    """Return the constant b with the least variance of (return_ - b) score, summed over D."""
    weight = (score**2).sum(axis=1)
    return weight @ return_ / weight.sum()


def _decisions(rng):
    for size in (5, 200):
        score = rng.normal(size=(size, 3)) * rng.uniform(0.2, 3.0, size=(size, 1))
        yield score - score.mean(axis=0), rng.normal(size=size) + 2.0


q6 = Exercise(
    title="Open project: the baseline with the least variance",
    stub=lambda score, return_: None,
    answer=best_baseline,
    why="The mean does not depend on b, so minimise E[(R - b)**2 |score|**2]: the mean return, "
    "each return weighted by its squared score.",
    hints=(
        "The mean of the estimate is the same for every b. Which part of the variance is not?",
        "Differentiate E[(R - b)**2 |score|**2] by b and set it to zero.",
        "A weighted mean of the returns; the weights are `(score**2).sum(axis=1)`.",
    ),
    mutants=(
        Mutant(
            lambda score, return_: return_.mean(),
            "The mean return is a good baseline, not the best: large scores matter more.",
        ),
        Mutant(
            lambda score, return_: np.abs(score).sum(axis=1) @ return_ / np.abs(score).sum(),
            "The weights are the squares of the scores: variance is a square.",
        ),
    ),
    cases=_decisions,
)
