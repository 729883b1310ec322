"""Exercises of chapter 5, proximal policy optimisation."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def clipped_objective(ratio, advantage, epsilon):
    """Return min(r A, clip(r) A), (N,), of samples with ratios and advantages (N,)."""
    clipped = np.clip(ratio, 1 - epsilon, 1 + epsilon)
    return np.minimum(ratio * advantage, clipped * advantage)


def _ratios(rng):
    for epsilon in (0.2, 0.1):
        advantage = np.concatenate([np.ones(20), -np.ones(20)]) * rng.uniform(0.5, 2, 40)
        yield np.tile(np.linspace(0.5, 1.5, 20), 2) + rng.uniform(0, 0.01, 40), advantage, epsilon


def _clip_on_the_log(ratio, advantage, epsilon):
    clipped = np.exp(np.clip(np.log(ratio), -epsilon, epsilon))
    return np.minimum(ratio * advantage, clipped * advantage)


q1 = Exercise(
    title="The clipped objective",
    stub=lambda ratio, advantage, epsilon: None,
    answer=clipped_objective,
    why="The minimum of the two products is the pessimist's choice, whatever the sign.",
    hints=(
        "Two products: the ratio times the advantage, and the clipped ratio times the advantage.",
        "`np.clip(ratio, 1 - epsilon, 1 + epsilon)` clips; `np.minimum` takes the smaller one.",
    ),
    mutants=(
        Mutant(
            lambda ratio, advantage, epsilon: np.clip(ratio, 1 - epsilon, 1 + epsilon) * advantage,
            "The minimum is missing: a good action that has become rare would stay rare.",
        ),
        Mutant(
            lambda ratio, advantage, epsilon: np.maximum(
                ratio * advantage, np.clip(ratio, 1 - epsilon, 1 + epsilon) * advantage
            ),
            "The larger of the two is the optimist's choice: losses are clipped, gains are not.",
        ),
        Mutant(
            lambda ratio, advantage, epsilon: (
                np.minimum(ratio, np.clip(ratio, 1 - epsilon, 1 + epsilon)) * advantage
            ),
            "The minimum of the two ratios is right for good actions only: multiply first.",
        ),
        Mutant(
            _clip_on_the_log,
            "You clip the logarithm: the interval is 1 - epsilon to 1 + epsilon for the ratio.",
        ),
    ),
    cases=_ratios,
)


def derivative(ratio, advantage, epsilon):
    """Return the derivative of the clipped objective by log pi, (N,): r A, or 0 where it binds."""
    too_likely = (advantage > 0) & (ratio > 1 + epsilon)
    too_rare = (advantage < 0) & (ratio < 1 - epsilon)
    return np.where(too_likely | too_rare, 0.0, ratio * advantage)


q2 = Exercise(
    title="The derivative of the clipped objective",
    stub=lambda ratio, advantage, epsilon: None,
    answer=derivative,
    why="Where the clip binds the objective is constant; elsewhere r A has the derivative r A.",
    hints=(
        "By equation (5.4) the derivative of the ratio by log pi is the ratio itself.",
        "The clip binds in two of the four corners: good and too likely, bad and too rare.",
        "`np.where(binds, 0.0, ratio * advantage)`.",
    ),
    mutants=(
        Mutant(
            clipped_objective,
            "That is the objective, not its derivative: where the clip binds, it does not change.",
        ),
        Mutant(
            lambda ratio, advantage, epsilon: np.where(
                np.abs(ratio - 1) > epsilon, 0.0, ratio * advantage
            ),
            "Outside the interval is not enough: the way back keeps its gradient.",
        ),
        Mutant(
            lambda ratio, advantage, epsilon: np.where(
                derivative(ratio, advantage, epsilon) == 0, 0.0, advantage
            ),
            "The mask is right, but a factor is missing: a ratio's derivative is the ratio.",
        ),
    ),
    cases=_ratios,
)

BUGS = {
    4: "Line 4 is right: advantages are numbers, made once from values without gradients.",
    5: "Line 5 is right: the critic's target is the advantage plus the value it started from.",
    7: "Line 7 is right: a new order in each epoch, four minibatches.",
    9: "Line 9 is right: the log-probability of the stored action under the policy as it is now.",
    12: "Line 12 is right, as long as both have the shape of `rows`.",
    14: "One zero_grad, one backward pass and one step for each minibatch: that is right.",
}

q3 = Exercise(
    title="Find the bug: a clip that never binds",
    stub=...,
    answer=10,
    why="Line 10 asks the policy of this moment, so the ratio is 1; the old one belongs before the "
    "epochs, next to line 5.",
    hints=(
        "An approximate KL of zero: which two policies are being compared?",
        "When does `policy` change, and which lines run after that?",
        "What must be stored before the loop over epochs begins?",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in BUGS.items()),
)


def advantages(reward, value, next_value, terminated, truncated, gamma, gae_lambda):
    """Return the advantages (T,) of equation (5.8), from the last step to the first."""
    result, later = np.zeros(len(reward)), 0.0
    for t in reversed(range(len(reward))):
        delta = reward[t] + gamma * next_value[t] * (not terminated[t]) - value[t]
        goes_on = not (terminated[t] or truncated[t])
        later = result[t] = delta + gamma * gae_lambda * goes_on * later
    return result


def _segments(rng):
    for size in (6, 24):
        ends = np.arange(size) % 6  # 2: terminated, 4: truncated
        yield *rng.normal(size=(3, size)), ends == 2, ends == 4, 0.9, 0.8


def _merged(reward, value, next_value, terminated, truncated, gamma, gae_lambda):
    done = terminated | truncated
    return advantages(reward, value, next_value, done, truncated, gamma, gae_lambda)


def _leaking(reward, value, next_value, terminated, truncated, gamma, gae_lambda):
    never = np.zeros_like(truncated)
    return advantages(reward, value, next_value, terminated, never, gamma, gae_lambda)


def _without_ends(reward, value, next_value, terminated, truncated, gamma, gae_lambda):
    ended = terminated | truncated
    never = np.zeros_like(ended)
    return advantages(reward, value, next_value, never, ended, gamma, gae_lambda)


q4 = Exercise(
    title="Advantages through truncation",
    stub=lambda reward, value, next_value, terminated, truncated, gamma, gae_lambda: None,
    answer=advantages,
    why="Only termination takes the next value away; either end keeps the next episode out.",
    hints=(
        "Go backwards in time and carry the advantage of the step after.",
        "`next_value[t]` counts unless `terminated[t]`.",
        "The carried advantage counts unless `terminated[t]` or `truncated[t]`.",
    ),
    mutants=(
        Mutant(
            _merged,
            "Truncation is treated as an end: the pole still stands, and its future still counts.",
        ),
        Mutant(
            _leaking,
            "After a truncation the next row belongs to another episode: its advantage leaks in.",
        ),
        Mutant(
            _without_ends,
            "A terminated episode keeps a future here; after its end there is none.",
        ),
        Mutant(
            lambda reward, value, next_value, terminated, truncated, gamma, gae_lambda: (
                advantages(reward, value, next_value, terminated, truncated, gamma, gae_lambda)
                + value
            ),
            "These are the critic's targets: the advantage is what is left without the value.",
        ),
    ),
    cases=_segments,
)


def _stopping_problem(probability):
    """Return what is wrong with `probability` as the smallest at which all gradients vanish."""
    p = float(probability)
    if not 0 <= p <= 1:
        return f"{p} is no probability."
    if p < 0.5:
        return "The good action has become rarer: its gradient is alive and leads back."
    if p < 0.6 - 1e-9:
        return f"The ratios are {2 * p:.2f} and {2 - 2 * p:.2f}: the clip does not bind yet."
    if p > 0.61:
        return f"Nothing moves at {p:.2f}, but it had stopped before."
    return None


q5 = Exercise(
    title="Break it: where everything stops",
    stub=...,
    answer=0.6,
    why="The ratios are p / 0.5 and (1 - p) / 0.5, and at p = 0.6 they are 1.2 and 0.8 together. "
    "A step that jumps further is not undone: no sample has a gradient that leads back.",
    hints=(
        "If the first action has probability p, what are the two ratios?",
        "The good sample stops at ratio 1.2, the bad one at ratio 0.8.",
    ),
    mutants=(
        Mutant(0.5, "That is the start, where no sample is clipped."),
        Mutant(1.2, "That is a ratio; the question is for a probability."),
        Mutant(1.0, "The policy would go there without the clip; with it, it stops on the way."),
    ),
    behaviour=_stopping_problem,
)


def adapted_beta(beta, kl, target):
    """Return the penalty's new weight: halved, doubled or unchanged."""
    if kl < target / 1.5:
        return beta / 2
    return beta * 2 if kl > target * 1.5 else beta


q6 = Exercise(
    title="Open project: a penalty in the place of the clip",
    stub=lambda beta, kl, target: None,
    answer=adapted_beta,
    why="Too small a step asks for a weaker penalty, too large a step for a stronger one.",
    hints=(
        "Three cases: the divergence is too small, too large, or about right.",
        "Too small means below `target / 1.5`. Should the penalty then grow or shrink?",
    ),
    mutants=(
        Mutant(
            lambda beta, kl, target: beta**2 / adapted_beta(beta, kl, target),
            "The other way round: a policy that moved too far needs the stronger penalty.",
        ),
        Mutant(
            lambda beta, kl, target: beta / 2 if kl < target else beta * 2,
            "There is a band in the middle, from 2/3 to 3/2 of the target, where beta stays.",
        ),
    ),
    cases=lambda rng: [(rng.uniform(0.5, 2), 0.01 * x, 0.01) for x in (0.5, 0.9, 1.1, 2.0)],
)
