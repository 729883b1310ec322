"""Exercises of chapter 1, Markov decision processes."""

import numpy as np

from metarl_lite.envs.gridworld import ARROWS, RUSSELL_NORVIG, gridworld
from metarl_lite.envs.mdp import sample_tasks
from metarl_lite.exercises.exercise import Exercise, Mutant
from metarl_lite.oracles import planning


def discounted_return(rewards, gamma):
    """Return G_0 of the rewards R_1, R_2, …, equation (1.3)."""
    return sum(gamma**k * reward for k, reward in enumerate(rewards))


def _some_rewards(rng):
    for length in (1, 2, 5, 12):
        yield rng.normal(size=length), rng.uniform(0.5, 0.99)


q1 = Exercise(
    title="A discounted return",
    stub=lambda rewards, gamma: None,
    answer=discounted_return,
    why="The first reward is counted in full: equation (1.3) starts at k = 0.",
    hints=(
        "Which power of gamma stands before the first reward in equation (1.3)?",
        "Python's `enumerate(rewards)` counts from 0, just as k does.",
        "Sum `gamma**k * reward` over `enumerate(rewards)`.",
    ),
    mutants=(
        Mutant(
            lambda rewards, gamma: gamma * discounted_return(rewards, gamma),
            "Every reward is discounted once too often: the first one, R_1, has weight 1.",
        ),
        Mutant(
            lambda rewards, gamma: sum(rewards), "Nothing is discounted: this is the plain sum."
        ),
    ),
    cases=_some_rewards,
)


def action_values(P, R, gamma, v):
    """Return q (S, A): the reward now plus the discounted mean value of the next state."""
    return R + gamma * (P @ v)


def _models_with_values(rng):
    for mdp in sample_tasks(rng, 3, num_states=5, num_actions=5, gamma=0.8):
        yield mdp.P, mdp.R, mdp.gamma, rng.normal(size=5)


q2 = Exercise(
    title="From state values to action values",
    stub=lambda P, R, gamma, v: None,
    answer=action_values,
    why="`P @ v` sums over the last axis of P, the next state, for all s and a at once.",
    hints=(
        "Equation (1.10) is a reward plus gamma times a mean over next states.",
        "`P @ v` sums over the last axis of P, the next state; its shape is (S, A), that of R.",
    ),
    mutants=(
        Mutant(
            lambda P, R, gamma, v: R + P @ v,
            "The discount is missing: what comes later counts in full here.",
        ),
        Mutant(
            lambda P, R, gamma, v: gamma * (R + P @ v),
            "The immediate reward is discounted as well; it is received now.",
        ),
        Mutant(
            lambda P, R, gamma, v: R + gamma * np.einsum("sat,s->ta", P, v),
            "P is used backwards: the sum runs over the state one leaves, its first axis.",
        ),
    ),
    cases=_models_with_values,
)


def evaluate_until_settled(P_pi, r_pi, gamma, tolerance):
    """Return v after sweeps of equation (1.8), until none changes by more than `tolerance`."""
    v = np.zeros(len(r_pi))
    while True:
        new = r_pi + gamma * P_pi @ v
        if np.abs(new - v).max() <= tolerance:
            return new
        v = new


def _settled_by(size):
    """Return the same program with another measure of how much a sweep has changed."""

    def evaluate(P_pi, r_pi, gamma, tolerance):
        v = np.zeros(len(r_pi))
        for _ in range(2_000):
            new = r_pi + gamma * P_pi @ v
            if size(new - v) <= tolerance:
                return new
            v = new
        return v

    return evaluate


def _chains(rng):
    P_pi = sample_tasks(rng, 1, num_states=2, num_actions=1)[0].P[:, 0]
    yield P_pi, -rng.uniform(1, 2, size=2), 0.9, 1e-9
    yield np.eye(2)[::-1], np.array([1.0, -1.0]), 0.9, 1e-9


q3 = Exercise(
    title="Find the bug: a sweep that stops too soon",
    stub=lambda P_pi, r_pi, gamma, tolerance: None,
    answer=evaluate_until_settled,
    why="A change for the worse is a change: the largest *absolute* difference must be small.",
    hints=(
        "Run the program by hand on one state with reward -1. How many sweeps does it make?",
        "With negative rewards every sweep lowers the values. What is `(new - v).max()` then?",
        "The contraction (1.15) speaks of the largest absolute entry.",
    ),
    mutants=(
        Mutant(
            _settled_by(np.max),
            "The bug is still there: values that fall have a negative difference, which is below "
            "any tolerance, so the loop ends after one sweep.",
        ),
        Mutant(
            _settled_by(lambda change: abs(change.mean())),
            "The mean change can vanish while single states still move, up here and down there.",
        ),
    ),
    cases=_chains,
)


def _leap_problem(step_reward):
    """Return what is wrong with `step_reward` as a price that drives the robot into the pit."""
    world = gridworld(RUSSELL_NORVIG, slip=0.2, step_reward=float(step_reward))
    chosen = planning.policy_iteration(world.mdp).policy[world.state_at(2, 3)]
    if chosen == 0:
        return None
    detour = "keeps away from the pit" if step_reward < 0 else "never wants to arrive anywhere"
    return f"The best robot below the pit moves {ARROWS[chosen]}: it {detour}."


q4 = Exercise(
    title="Break it: make the best robot jump into the pit",
    stub=...,
    answer=-2.0,
    why="When a step costs more than the pit, the quickest way out is the best one.",
    hints=(
        "The robot below the pit compares one last payment of -1 with all the steps around.",
        "The way round to the goal takes four moves or more from there. What may each cost?",
        "Try prices between 0.1 and 3 a step: the answer is a negative number.",
    ),
    mutants=(
        Mutant(-0.04, "A few cheap steps cost less than the pit: raise the price of a step."),
        Mutant(2.0, "A positive step reward pays for walking about; the robot stays alive."),
    ),
    behaviour=_leap_problem,
)


def sweeps_needed(gamma, first_error, tolerance):
    """Return the fewest sweeps after which the bound (1.16) is at most `tolerance`."""
    return max(0, int(np.ceil(np.log(tolerance / first_error) / np.log(gamma))))


def _accuracies(rng):
    for gamma in (0.5, 0.9, 0.99, rng.uniform(0.6, 0.95)):
        yield gamma, rng.uniform(5, 50), rng.uniform(1e-4, 1e-2)
    yield 0.9, 0.5, 1.0


q5 = Exercise(
    title="How many sweeps are enough?",
    stub=lambda gamma, first_error, tolerance: None,
    answer=sweeps_needed,
    why="Solve gamma**k * first_error <= tolerance for k; log(gamma) < 0 turns the sign.",
    hints=(
        "Take logarithms of both sides of the bound; the logarithm of gamma is negative.",
        "Round up, return an `int`, and never fewer than 0.",
    ),
    mutants=(
        Mutant(
            lambda gamma, first_error, tolerance: max(
                0, int(np.log(tolerance / first_error) / np.log(gamma))
            ),
            "Rounded down: the bound is still above the tolerance after that many sweeps.",
        ),
        Mutant(
            lambda gamma, first_error, tolerance: max(
                0, int(np.ceil(np.log(tolerance) / np.log(gamma)))
            ),
            "The first error is left out: this is right only where it is 1.",
        ),
    ),
    cases=_accuracies,
)


def value_iteration_in_place(P, R, gamma, tolerance):
    """Return (v, sweeps): equation (1.13) state by state, new values used at once."""
    v, sweeps, change = np.zeros(len(R)), 0, np.inf
    while change > tolerance:
        change, sweeps = 0.0, sweeps + 1
        for s in range(len(R)):
            new = (R[s] + gamma * P[s] @ v).max()
            change, v[s] = max(change, abs(new - v[s])), new
    return v, sweeps


def _whole_sweeps(P, R, gamma, tolerance):
    v, sweeps, change = np.zeros(len(R)), 0, np.inf
    while change > tolerance:
        new = (R + gamma * P @ v).max(axis=1)
        change, v, sweeps = abs(new - v).max(), new, sweeps + 1
    return v, sweeps


def _small_models(rng):
    for mdp in sample_tasks(rng, 3, num_states=6, num_actions=3, gamma=0.8):
        yield mdp.P, mdp.R, mdp.gamma, 1e-6


q6 = Exercise(
    title="Open project: value iteration in place",
    stub=lambda P, R, gamma, tolerance: None,
    answer=value_iteration_in_place,
    why="Each state already uses what the states before it have learned in this very sweep.",
    hints=(
        "One array is enough: write each new value over the old one at once.",
        "Keep the largest absolute change of the sweep, and count every sweep made.",
        "Loop over s inside a loop over sweeps; `(R[s] + gamma * P[s] @ v).max()` is the new v[s].",
    ),
    mutants=(
        Mutant(
            _whole_sweeps,
            "The values are right, but a sweep reads only old ones: this is not in place.",
        ),
        Mutant(
            lambda P, R, gamma, tolerance: value_iteration_in_place(
                P[:, :1], R[:, :1], gamma, tolerance
            ),
            "Only the first action is ever tried: the maximum runs over all of them.",
        ),
    ),
    cases=_small_models,
)
