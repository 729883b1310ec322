"""Exercises of chapter 7, MAML."""

import numpy as np

from metarl_lite.exercises.exercise import Exercise, Mutant


def adapted(theta, target, curvature, alpha, steps):
    """Return phi after `steps` gradient steps on 0.5 * curvature * (theta - target)**2."""
    return target + (1 - alpha * curvature) ** steps * (theta - target)


def _quadratics(rng):
    for steps in (1, 2, 5):
        yield *rng.normal(size=2), rng.uniform(0.5, 5.0), 0.1, steps


q1 = Exercise(
    title="Adapting in closed form",
    stub=lambda theta, target, curvature, alpha, steps: None,
    answer=adapted,
    why="Each step multiplies the distance to the target by 1 - alpha * curvature.",
    hints=(
        "Write one step down, and subtract the target on both sides.",
        "The distance theta - target is multiplied by the same factor in every step.",
        "`target + (1 - alpha * curvature) ** steps * (theta - target)`",
    ),
    mutants=(
        Mutant(
            lambda theta, target, curvature, alpha, steps: (
                theta - steps * alpha * curvature * (theta - target)
            ),
            "All steps use the gradient at theta: the second one starts where the first one ended.",
        ),
        Mutant(
            lambda theta, target, curvature, alpha, steps: (
                target + (1 + alpha * curvature) ** steps * (theta - target)
            ),
            "This climbs: the sign of the step is turned round.",
        ),
        Mutant(
            lambda theta, target, curvature, alpha, steps: (
                target + (1 - alpha) ** steps * (theta - target)
            ),
            "The curvature is missing: it is the factor in front of the gradient.",
        ),
        Mutant(
            lambda theta, target, curvature, alpha, steps: (
                (1 - alpha * curvature) ** steps * (theta - target)
            ),
            "This is the distance that is left: add the target to get phi.",
        ),
    ),
    cases=_quadratics,
)


def meta_gradient(hessians, query_gradient, alpha):
    """Return (I - alpha H_0) ... (I - alpha H_k-1) g for hessians (k, D, D) and g (D,)."""
    gradient = query_gradient
    for matrix in hessians[::-1]:
        gradient = gradient - alpha * matrix @ gradient
    return gradient


def _steps(rng):
    for steps, size in ((1, 2), (3, 2), (4, 3)):
        matrices = rng.normal(size=(steps, size, size))
        yield matrices + matrices.transpose(0, 2, 1), rng.normal(size=size), 0.1


q2 = Exercise(
    title="Back through the inner steps",
    stub=lambda hessians, query_gradient, alpha: None,
    answer=meta_gradient,
    why="The chain rule goes backwards: the last step's bracket meets the query gradient first.",
    hints=(
        "Equation (7.5) is a product of matrices and a vector. Which matrix touches the vector?",
        "Walk through the steps from the last to the first and keep one vector.",
        "`gradient = gradient - alpha * matrix @ gradient`, over `hessians[::-1]`.",
    ),
    mutants=(
        Mutant(
            lambda hessians, query_gradient, alpha: meta_gradient(
                hessians[::-1], query_gradient, alpha
            ),
            "The order is turned round: the last step's Hessian stands next to the query gradient.",
        ),
        Mutant(
            lambda hessians, query_gradient, alpha: query_gradient * 1.0,
            "This is first-order MAML: all the brackets are missing.",
        ),
        Mutant(
            lambda hessians, query_gradient, alpha: meta_gradient(-hessians, query_gradient, alpha),
            "The sign in the brackets is wrong: a step goes down, so it is I minus alpha H.",
        ),
        Mutant(
            lambda hessians, query_gradient, alpha: (
                query_gradient - alpha * hessians.sum(axis=0) @ query_gradient
            ),
            "Adding up the Hessians drops the products of two and more of them.",
        ),
    ),
    cases=_steps,
)

RIGHT_LINES = {
    2: "Drawing fresh tasks for every meta-step is right.",
    4: "Copying theta is not wrong in itself. Is this the line that decides where a task starts?",
    7: "The inner step is right: down the support gradient.",
    8: "The query data judge the adapted parameters, as they should.",
    9: "Putting one gradient a task on a list is right. What is done with the list?",
}

q3 = Exercise(
    title="Find the bug: a meta-step from what the loop left behind",
    stub=...,
    answer=10,
    why="After the loop, gradient is that of the last task only; the mean of the list is meant: "
    "theta = theta - beta * mean(gradients).",
    hints=(
        "What does each name hold when the inner loop has ended?",
        "Let tasks be a list of ten. How many of them move theta?",
        "One of the names in the meta-step belongs to the loop over tasks.",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in RIGHT_LINES.items()),
)

RATE, EDGE = 0.06, 5.0


def curvature_of_a_line(x):
    """Return the largest eigenvalue of the Hessian of mean (w x + b - y)**2, for x (K,)."""
    features = np.stack([x, np.ones(len(x))], axis=1)
    return np.linalg.eigvalsh(2 / len(x) * features.T @ features)[-1]


def _points_problem(answer):
    """Return what is wrong with `answer` as five points on which a step of 0.06 diverges."""
    x = np.asarray(answer, dtype=float)
    if x.shape != (5,):
        return f"Five numbers are asked for, this has shape {x.shape}."
    if not (abs(x) <= EDGE).all():
        return f"All points must lie in [-5, 5], these reach {abs(x).max():.1f}."
    curvature = curvature_of_a_line(x)
    if curvature <= 2 / RATE:
        kind = "only at one place" if np.ptp(x) == 0 else "spread out"
        return f"The points ({kind}) have curvature {curvature:.1f}, below 2 / 0.06 = 33.3."
    return None


q4 = Exercise(
    title="Break it: five points that make adaptation diverge",
    stub=...,
    answer=(5.0, 5.0, 5.0, 5.0, 5.0),
    why="The curvature is about twice the mean of x**2 + 1: points at the edges make it 52, "
    "and the step of 0.06 overshoots by more than it had to go.",
    hints=(
        "The targets y do not matter: they are not in the Hessian.",
        "The Hessian is 2 / 5 times the sum of the outer products of (x, 1) with itself.",
        "Where is x**2 + 1 largest?",
    ),
    mutants=(
        Mutant(
            (-5.0, -2.5, 0.0, 2.5, 5.0),
            "Points spread evenly are what the rate was made for: those near 0 add no curvature.",
        ),
        Mutant((0.0, 0.0, 0.0, 0.0, 0.0), "Points at 0 tell the slope nothing, so it never moves."),
        Mutant((9.0, 9.0, 9.0, 9.0, 9.0), "That would do it, but no task of the family has them."),
        Mutant(
            (3.0, 3.0, 3.0, 3.0, 3.0),
            "Crowding alone is not enough: it matters how far out the crowd is.",
        ),
    ),
    behaviour=_points_problem,
)


def _right(theta, support, alpha):
    return theta - alpha * (theta - support.mean())


PROGRAMS = {
    "a program that adapts": (_right, True),
    "one that only runs the model forward": (lambda theta, support, alpha: theta, False),
    "one that climbs": (lambda theta, support, alpha: 2 * theta - _right(theta, support, alpha), 0),
    "one that ignores its rate": (lambda theta, support, alpha: _right(theta, support, 0.1), False),
}


def really_adapts(fast_adapt):
    """Return whether fast_adapt(theta, support, alpha) takes a step of size alpha downhill."""
    support, theta = np.array([1.0, 2.0, 3.0]), 5.0

    def loss(theta):
        return 0.5 * ((theta - support) ** 2).mean()

    small, large = (fast_adapt(theta, support, alpha) for alpha in (0.01, 0.2))
    return bool(loss(large) < loss(small) < loss(theta))


def _test_problem(answer):
    """Return which program `answer`, a test, gets wrong."""
    for name, (program, good) in PROGRAMS.items():
        if bool(answer(program)) != bool(good):
            return f"The test {'refuses' if good else 'accepts'} {name}."
    return None


def _moves(fast_adapt):
    return fast_adapt(5.0, np.array([1.0, 2.0, 3.0]), 0.1) != 5.0


def _improves(fast_adapt):
    return abs(fast_adapt(5.0, np.array([1.0, 2.0, 3.0]), 0.1) - 2.0) < 3.0


q5 = Exercise(
    title="Write the test: does it adapt at all?",
    stub=lambda fast_adapt: None,
    answer=really_adapts,
    why="Two rates and the loss they leave: a program that adapts goes down, and further with the "
    "larger rate.",
    hints=(
        "What must be true of the support loss after a small step? That refuses two of the three.",
        "The last program takes the same step for every alpha. How do you notice?",
        "Compare the loss at theta, after alpha = 0.01 and after alpha = 0.2.",
    ),
    mutants=(
        Mutant(lambda fast_adapt: True, "A test that cannot fail tests nothing."),
        Mutant(_moves, "That the parameters change does not say in which direction."),
        Mutant(_improves, "That the loss falls does not say that the rate has a part in it."),
    ),
    behaviour=_test_problem,
)


def best_start(target, curvature, alpha, steps):
    """Return the theta that minimises the mean loss after `steps` steps on quadratic tasks (M,)."""
    weight = curvature * (1 - alpha * curvature) ** (2 * steps)
    return weight @ target / weight.sum()


def _families(rng):
    for steps in (1, 3):
        yield rng.normal(size=6), rng.uniform(0.5, 5.0, size=6), 0.15, steps


q6 = Exercise(
    title="Open project: the best start for quadratic tasks",
    stub=lambda target, curvature, alpha, steps: None,
    answer=best_start,
    why="Set the mean of equation (7.7) to zero: a mean of the targets, weighted with "
    "h (1 - alpha h)**(2 k).",
    hints=(
        "The mean loss after adaptation is a parabola in theta. Where is its slope zero?",
        "Equation (7.7) has the slope of each task; it is linear in theta.",
        "A weighted mean of the targets, with the factors in front of (theta - target) as weights.",
    ),
    mutants=(
        Mutant(
            lambda target, curvature, alpha, steps: curvature @ target / curvature.sum(),
            "This is joint training: it forgets that each task still adapts.",
        ),
        Mutant(
            lambda target, curvature, alpha, steps: best_start(target, curvature, alpha, steps / 2),
            "The exponent is k: that is where first-order MAML comes to rest.",
        ),
        Mutant(
            lambda target, curvature, alpha, steps: best_start(target, curvature, alpha, 1),
            "One step is assumed, whatever `steps` says.",
        ),
        Mutant(
            lambda target, curvature, alpha, steps: target.mean(),
            "All tasks weigh the same here; flat ones need the good start more than steep ones.",
        ),
    ),
    cases=_families,
)
