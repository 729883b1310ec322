"""Exercises of chapter 3, deep Q-networks."""

import numpy as np
import torch

from metarl_lite.envs.cartpole import STANDARD, CartPoleTasks, sample_tasks
from metarl_lite.exercises.exercise import Exercise, Mutant


def epsilon_at(step, epsilon_steps, final_epsilon):
    """Return epsilon: from 1 at step 0 down a straight line, then `final_epsilon` for ever."""
    return 1.0 + (final_epsilon - 1.0) * min(step / epsilon_steps, 1.0)


def _moments(rng):
    for step in (0, 1_000, 4_000, 9_000):
        yield step, 4_000, rng.uniform(0.01, 0.2)


q1 = Exercise(
    title="A schedule for epsilon",
    stub=lambda step, epsilon_steps, final_epsilon: None,
    answer=epsilon_at,
    why="A straight line between two points, and `min` stops it from going on below the end.",
    hints=(
        "Which share of the way is done after `step` of `epsilon_steps` steps?",
        "The share must not grow beyond 1: `min(step / epsilon_steps, 1.0)`.",
        "Start plus share times (end minus start), with start 1.",
    ),
    mutants=(
        Mutant(
            lambda step, epsilon_steps, final_epsilon: (
                1.0 + (final_epsilon - 1.0) * step / epsilon_steps
            ),
            "The line goes on below its end: after `epsilon_steps` epsilon must stay where it is.",
        ),
        Mutant(
            lambda step, epsilon_steps, final_epsilon: max(
                1.0 - step / epsilon_steps, final_epsilon
            ),
            "This line aims at 0 and is cut off at `final_epsilon`, so it arrives too early.",
        ),
    ),
    cases=_moments,
)


def double_targets(q_next, q_next_target, reward, terminated, truncated, gamma):
    """Return y (batch,) of Double DQN: the live network chooses, the target network rates."""
    best = q_next.argmax(dim=-1, keepdim=True)
    value = q_next_target.gather(-1, best).squeeze(-1)
    return reward + gamma * value * ~terminated


def _target_batches(rng):
    for size in (6, 32):
        q_next, q_next_target = torch.from_numpy(rng.normal(size=(2, size, 4)))
        ends = torch.arange(size) % 3  # 0 goes on, 1 terminated, 2 truncated
        reward = torch.from_numpy(rng.normal(size=size))
        yield q_next, q_next_target, reward, ends == 1, ends == 2, 0.9


def _without_termination(q_next, q_next_target, reward, terminated, truncated, gamma):
    nothing = torch.zeros_like(terminated)
    return double_targets(q_next, q_next_target, reward, nothing, truncated, gamma)


def _merging_both_flags(q_next, q_next_target, reward, terminated, truncated, gamma):
    done = terminated | truncated
    return double_targets(q_next, q_next_target, reward, done, truncated, gamma)


q2 = Exercise(
    title="The target of Double DQN",
    stub=lambda q_next, q_next_target, reward, terminated, truncated, gamma: None,
    answer=double_targets,
    why="One network picks the action, the other says what it is worth; only an end has no future.",
    hints=(
        "Equation (3.9): which of the two networks stands inside the argmax?",
        "`q_next.argmax(dim=-1, keepdim=True)` chooses; `gather` reads the other table there.",
        "Only `terminated` takes the future away: multiply it by `~terminated`.",
    ),
    mutants=(
        Mutant(
            lambda q_next, q_next_target, reward, terminated, truncated, gamma: double_targets(
                q_next_target, q_next, reward, terminated, truncated, gamma
            ),
            "The two networks are swapped: the live one chooses, the target network rates.",
        ),
        Mutant(
            lambda q_next, q_next_target, reward, terminated, truncated, gamma: double_targets(
                q_next_target, q_next_target, reward, terminated, truncated, gamma
            ),
            "This is the plain DQN target: the target network both chooses and rates.",
        ),
        Mutant(
            _without_termination,
            "A terminated episode keeps a future here; after its end there is none.",
        ),
        Mutant(
            _merging_both_flags,
            "Truncation is treated as an end: the pole still stands, and its future still counts.",
        ),
    ),
    cases=_target_batches,
)

BUGS = {
    3: "The optimizer is made once, before the loop: look at what happens inside it.",
    7: "The random action is right: with probability epsilon any of the two.",
    11: "Line 11 is right: it stores where the step led, and the flag of a true end only.",
    13: "A batch of 64 from the buffer is just what replay asks for.",
    15: "One backward pass a loss: that is right.",
}

q3 = Exercise(
    title="Find the bug: an agent that stays a beginner",
    stub=...,
    answer=5,
    why="Line 5 starts every episode anew at every step, so the agent only ever sees beginnings.",
    hints=(
        "The loss falls nicely, and still nothing is learned. What do the stored states look like?",
        "How many steps does an episode last in this program?",
        "Which line belongs outside the loop, or behind an `if`?",
    ),
    mutants=tuple(Mutant(line, diagnosis) for line, diagnosis in BUGS.items()),
)


def ring_slots(num_added, n, capacity):
    """Return where `n` new transitions go, (n,) int, after `num_added` were ever stored."""
    return np.arange(num_added, num_added + n) % capacity


def _fillings(rng):
    yield 0, 4, 10
    yield 8, 4, 10
    yield int(rng.integers(100, 1_000)), 6, 7


q4 = Exercise(
    title="The slots of a replay buffer",
    stub=lambda num_added, n, capacity: None,
    answer=ring_slots,
    why="Counting on and taking the remainder wraps the new entries over the oldest ones.",
    hints=(
        "After the last slot comes slot 0 again, which holds the oldest transition.",
        "`%` gives the remainder; `np.arange(start, start + n)` counts.",
    ),
    mutants=(
        Mutant(
            lambda num_added, n, capacity: np.minimum(
                np.arange(num_added, num_added + n), capacity - 1
            ),
            "A full buffer must overwrite its oldest entries; here all land in the last slot.",
        ),
        Mutant(
            lambda num_added, n, capacity: num_added % capacity + np.arange(n),
            "The start wraps, the end does not: these slots run out of the buffer.",
        ),
        Mutant(
            lambda num_added, n, capacity: np.arange(n) % capacity,
            "Every batch starts at slot 0 again, so most of the memory is never used.",
        ),
    ),
    cases=_fillings,
)


def _growth_problem(visits):
    """Return what is wrong with `visits` as the smallest share that stops the divergence."""
    factor = 1 - 0.1 * ((1 - 2 * 0.99) + 4 * float(visits) * (1 - 0.99 * 0.9))
    if not 0 <= float(visits) < np.inf:
        return f"The second state cannot be visited {visits} times."
    if factor > 1:
        return f"The weight still grows, by {factor:.3f} a round."
    if factor < 0.99:
        return f"It converges, by {factor:.3f} a round, but fewer visits would do."
    return None


q5 = Exercise(
    title="Break it: how far off-policy is too far?",
    stub=...,
    answer=2.26,
    why="The bracket of equation (3.3) vanishes at d = (2 gamma - 1) / (4 (1 - gamma (1 - e))).",
    hints=(
        "The weight shrinks as soon as the bracket of equation (3.3) is positive.",
        "Set the bracket to zero, put in the numbers and solve for d.",
        "(2 * 0.99 - 1) / (4 * (1 - 0.99 * 0.9)), and a little more to be on the safe side.",
    ),
    mutants=(
        Mutant(1, "With both states visited equally often we saw it diverge: visit more."),
        Mutant(10, "That is on-policy, far on the safe side: look for the edge."),
        Mutant(-1, "A number of visits is not negative: the sign of the bracket got lost."),
    ),
    behaviour=_growth_problem,
)


def context_observations(obs, tasks):
    """Return (N, 9): the observations (N, 4) beside the logarithms of the physics (N, 5)."""
    names = ("gravity", "mass_cart", "mass_pole", "length", "force")
    ratios = [getattr(tasks, name) / getattr(STANDARD, name) for name in names]
    return np.concatenate([obs, np.log(np.stack(ratios, axis=1))], axis=1)


def _pole_families(rng):
    for num_tasks in (1, 5):
        yield rng.normal(size=(num_tasks, 4)), sample_tasks(rng, num_tasks)


def _raw_context(obs, tasks):
    names = ("gravity", "mass_cart", "mass_pole", "length", "force")
    return np.concatenate([obs, np.stack([getattr(tasks, n) for n in names], axis=1)], axis=1)


q6 = Exercise(
    title="Open project: let the agent see the physics",
    stub=lambda obs, tasks: None,
    answer=context_observations,
    why="Logarithms of ratios are 0 for the standard task and of one size for all five numbers.",
    hints=(
        "`tasks.gravity` is (N,), and so are the other four fields; `STANDARD` has the usual ones.",
        "Stack the five ratios as columns, take `np.log`, and put them behind the observations.",
        "`np.concatenate([obs, context], axis=1)` with a context of shape (N, 5).",
    ),
    mutants=(
        Mutant(
            lambda obs, tasks: context_observations(obs, STANDARD.repeat(len(tasks))),
            "The five numbers are those of the standard task, so they tell the agent nothing.",
        ),
        Mutant(
            _raw_context,
            "The raw numbers lie between 0.07 and 15: take logarithms of ratios to the standard.",
        ),
        Mutant(
            lambda obs, tasks: context_observations(obs, _inverse(tasks)),
            "The ratios are upside down: the task divided by the standard.",
        ),
    ),
    cases=_pole_families,
)


def _inverse(tasks):
    names = ("gravity", "mass_cart", "mass_pole", "length", "force")
    return CartPoleTasks(*(getattr(STANDARD, n) ** 2 / getattr(tasks, n) for n in names))
