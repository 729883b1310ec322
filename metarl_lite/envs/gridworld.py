"""Grid worlds drawn as text: `gridworld(text)` returns the MDP of a map and how to draw it.

One character a cell: `S` start, `G` goal (ends the episode), `P` pit (ends it too), `.` floor and
`#` wall. Actions 0-3 move up, right, down, left; a move into a wall or off the map stays put. With
probability `slip` the agent slides to one of the two sides instead, half of `slip` each. The reward
of a step is `step_reward`, plus `goal_reward` or `pit_reward` on entering such a cell, plus
`bump_reward` on staying put.
"""

from dataclasses import dataclass

import numpy as np

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.mdp import MDP
from metarl_lite.envs.single import SingleEnv
from metarl_lite.envs.tabular import TabularEnv

MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # up, right, down, left
ARROWS = "↑→↓←"

RUSSELL_NORVIG = """
...G
.#.P
S...
"""  # the 4x3 world of Russell and Norvig's textbook: slip 0.2, step reward -0.04


@dataclass(frozen=True, eq=False)
class GridWorld:
    """An MDP with the map it was made from.

    `mdp`; `cells` (S, 2) int, the (row, column) of each state, numbered along the rows; `letters`
    (rows, columns), the map's characters.
    """

    mdp: MDP
    cells: np.ndarray
    letters: np.ndarray

    def to_grid(self, values: np.ndarray) -> np.ndarray:
        """Return `values` (S,) laid out as the map (rows, columns), NaN on walls."""
        values = np.asarray(values, dtype=float)
        if values.shape != (len(self.cells),):
            raise ValueError(f"values must have shape ({len(self.cells)},), got {values.shape}")
        grid = np.full(self.letters.shape, np.nan)
        grid[tuple(self.cells.T)] = values
        return grid

    def state_at(self, row: int, column: int) -> int:
        """Return the state of a cell; ValueError for a wall or a cell off the map."""
        found = np.flatnonzero((self.cells == (row, column)).all(axis=1))
        if not found.size:
            raise ValueError(f"no state at row {row}, column {column} of {self.letters.shape}")
        return int(found[0])


def gridworld(
    text: str,
    *,
    gamma: float = 0.99,
    slip: float = 0.0,
    step_reward: float = 0.0,
    goal_reward: float = 1.0,
    pit_reward: float = -1.0,
    bump_reward: float = 0.0,
) -> GridWorld:
    """Return the world of a text map; ValueError names the row and character that are wrong.

    Without an `S` the first state is uniform over the cells that do not end the episode.
    """
    if not 0 <= real_array("slip", slip) <= 1:
        raise ValueError(f"slip must be a probability in [0, 1], got {slip!r}")
    real_array("step_reward", step_reward)
    real_array("goal_reward", goal_reward)
    real_array("pit_reward", pit_reward)
    real_array("bump_reward", bump_reward)
    letters = _parse(text)
    cells = np.argwhere(letters != "#")
    letter = letters[tuple(cells.T)]  # (S,)
    ends = (letter == "G") | (letter == "P")
    entering = np.where(letter == "G", goal_reward, np.where(letter == "P", pit_reward, 0.0))

    P = np.zeros((len(cells), len(MOVES), len(cells)))
    R = np.full((len(cells), len(MOVES)), float(step_reward))
    states = np.arange(len(cells))
    arrival = _arrivals(letters, cells)  # (S, A)
    for action in range(len(MOVES)):
        for turn, probability in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
            lands = arrival[:, (action + turn) % len(MOVES)]
            P[states, action, lands] += probability
            R[:, action] += probability * (entering[lands] + bump_reward * (lands == states))
    P[ends], R[ends] = np.eye(len(cells))[ends, None], 0.0
    start = (letter == "S") / (letter == "S").sum() if "S" in letter else None
    return GridWorld(MDP(P, R, gamma, start), cells, letters)


def make_vector(
    num_envs: int = 1,
    *,
    text: str = RUSSELL_NORVIG,
    slip: float = 0.2,
    step_reward: float = -0.04,
    horizon: int = 100,
) -> TabularEnv:
    """Return `num_envs` copies of one world, by default Russell and Norvig's."""
    check_count("num_envs", num_envs)
    world = gridworld(text, slip=slip, step_reward=step_reward)
    return TabularEnv([world.mdp] * num_envs, horizon=horizon)


def make_single(**kwargs) -> SingleEnv:
    """Return one world as a plain Gymnasium environment; keywords as for `make_vector`."""
    return SingleEnv(make_vector(1, **kwargs))


def _parse(text: str) -> np.ndarray:
    """Return the map's characters (rows, columns)."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"a map is text with at least one cell, got {text!r}")
    rows = [line.strip() for line in text.strip().splitlines()]
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"row {number} of the map, {row!r}, has {len(row)} cells; row 0 has {len(rows[0])}"
            )
        for column, letter in enumerate(row):
            if letter not in "SGP.#":
                raise ValueError(
                    f"row {number} of the map has {letter!r} at column {column}; "
                    "valid are S (start), G (goal), P (pit), . (floor) and # (wall)"
                )
    letters = np.array([list(row) for row in rows])
    if not np.isin(letters, ["S", "."]).any():
        raise ValueError(f"the map needs a start S or a floor cell, got rows {rows}")
    return letters


def _arrivals(letters: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return (S, A) int: the state each move arrives at when nothing slips."""
    state_of = np.full(np.add(letters.shape, 2), -1)  # a border of walls
    state_of[tuple(cells.T + 1)] = np.arange(len(cells))
    target = cells[:, None] + MOVES + 1  # (S, A, 2)
    arrival = state_of[target[..., 0], target[..., 1]]
    return np.where(arrival < 0, np.arange(len(cells))[:, None], arrival)
