"""GridNav's Bayes-optimal agent: how to search for a hidden goal, exactly (see `envs.gridnav`).

Until the goal is found every step teaches the same, "not here", so a search is one fixed walk; once
it is found, the best agent stays on it, and goes straight there in every later episode. A search is
therefore worth the sum over goals of what finding each one when the walk does is worth.
"""

from heapq import heappop, heappush
from itertools import count

import numpy as np

from metarl_lite.checks import check_count
from metarl_lite.envs.gridnav import MOVES

Cell = tuple[int, int]
STEP, GOAL = -1, 10  # rewards in tenths: whole numbers, so that equal values compare equal


def goal_cells(size: int) -> frozenset[Cell]:
    """Return the cells that may hide the goal: all but the start and its three neighbours."""
    check_count("size", size, least=3)
    return frozenset((r, c) for r in range(size) for c in range(size) if max(r, c) > 1)


def search_returns(
    walk: np.ndarray, *, size: int = 5, horizon: int = 15, num_episodes: int = 4
) -> np.ndarray:
    """Return the expected return of each episode, (episode,), of searching along `walk`.

    `walk` (episode * horizon, 2) holds the cell after each step while the goal is unknown; the
    mean is over all goals, equally likely. Raises ValueError for another shape.
    """
    check_count("horizon", horizon)
    check_count("num_episodes", num_episodes)
    goals, walk = sorted(goal_cells(size)), np.asarray(walk)
    if walk.shape != (num_episodes * horizon, 2):
        raise ValueError(
            f"walk must have shape {(num_episodes * horizon, 2)}, one cell a step, got {walk.shape}"
        )
    returns = np.full((len(goals), num_episodes), STEP * horizon)
    for goal, row in zip(goals, returns, strict=True):
        arrivals = np.flatnonzero((walk == goal).all(axis=1))
        if len(arrivals):
            episode, step = divmod(int(arrivals[0]), horizon)
            row[episode:] = _worth(sum(goal), horizon)
            row[episode] = _worth(step + 1, horizon)
    return returns.mean(axis=0) / GOAL


def bayes_optimal_walk(
    *, size: int = 5, horizon: int = 15, num_episodes: int = 4
) -> tuple[Cell, ...]:
    """Return the search with the largest expected return of a trial, (episode * horizon) cells.

    Dynamic programming over states (time, cell, goals not yet ruled out), the best bound first (A*,
    Hart et al. 1968): the first complete walk to leave the queue is worth at least the bound of
    every other. Milliseconds at the default sizes; slow where no search comes near the bound.
    """
    check_count("horizon", horizon)
    check_count("num_episodes", num_episodes)
    order = count(0, -1)  # of equal bounds the newest first: straight down to a complete walk
    queue = [(0, next(order), 0, ((0, 0),), goal_cells(size))]
    seen = set()
    while True:
        _, _, gained, walk, hidden = heappop(queue)
        time = len(walk) - 1
        if time == num_episodes * horizon:
            return walk[1:]
        if (time, walk[-1], hidden) in seen:
            continue
        seen.add((time, walk[-1], hidden))
        start = walk[-1] if time % horizon else (0, 0)
        for cell in {_move(start, move, size) for move in MOVES.tolist()}:
            found, left = hidden & {cell}, hidden - {cell}
            gain = gained + _bound(time + 1, found, [0] * len(found), horizon, num_episodes)
            distances = [abs(cell[0] - r) + abs(cell[1] - c) for r, c in left]
            bound = gain + _bound(time + 1, left, distances, horizon, num_episodes)
            heappush(queue, (-bound, next(order), gain, (*walk, cell), left))


def _bound(
    time: int, goals: frozenset[Cell], distances: list[int], horizon: int, num_episodes: int
) -> int:
    """Return at least what `goals` are worth in all, in tenths, with `distances` still to go.

    Whatever the walk, it finds one goal a step, each no sooner than its distance allows; those it
    misses in this episode it may find in the next by the shortest way. Exact at distance 0.
    """
    episode, step = divmod(time - 1, horizon)
    arrival, total = step, 0
    for distance in sorted(distances):
        arrival = max(arrival + 1, step + 1 + distance)
        total += _worth(arrival, horizon)
    later = num_episodes - episode - 1
    return total + sum(
        STEP * horizon * episode + later * _worth(sum(goal), horizon) for goal in goals
    )


def _worth(step: int, horizon: int) -> int:
    """Return the tenths of an episode whose `step`, counted from 1, is the first on the goal."""
    step = min(step, horizon + 1)
    return STEP * (step - 1) + GOAL * (horizon + 1 - step)


def _move(cell: Cell, move: list[int], size: int) -> Cell:
    row, column = (min(max(x + dx, 0), size - 1) for x, dx in zip(cell, move, strict=True))
    return row, column
