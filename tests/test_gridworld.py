import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metarl_lite.envs.gridworld import MOVES, RUSSELL_NORVIG, gridworld, make_vector

UP, RIGHT, DOWN, LEFT = range(4)


def test_states_are_numbered_along_the_rows_and_walls_are_none():
    world = gridworld("S.\n#G")
    assert world.cells.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert world.mdp.terminal.tolist() == [False, False, True]
    assert world.mdp.start.tolist() == [1, 0, 0]
    assert world.state_at(1, 1) == 2
    with pytest.raises(ValueError, match="no state at row 1, column 0"):
        world.state_at(1, 0)


def test_a_two_by_two_map_by_hand():
    mdp = gridworld("S.\n#G", step_reward=-0.5, goal_reward=2.0, bump_reward=-3.0).mdp
    assert mdp.P[0].argmax(axis=1).tolist() == [0, 1, 0, 0]  # up and left the edge, down the wall
    assert mdp.R[0].tolist() == [-3.5, -0.5, -3.5, -3.5]
    assert mdp.P[1].argmax(axis=1).tolist() == [1, 1, 2, 0]
    assert mdp.R[1].tolist() == [-3.5, -3.5, 1.5, -0.5]
    assert mdp.R[2].tolist() == [0, 0, 0, 0]


def test_slipping_moves_to_either_side():
    world = gridworld("...\n.S.\n.P.", slip=0.2, step_reward=-1.0, pit_reward=-10.0)
    centre, row = world.state_at(1, 1), world.mdp.P[world.state_at(1, 1), RIGHT]
    assert row[world.state_at(1, 2)] == pytest.approx(0.8)
    assert row[world.state_at(0, 1)] == pytest.approx(0.1)
    assert row[world.state_at(2, 1)] == pytest.approx(0.1)
    assert world.mdp.R[centre].tolist() == pytest.approx([-1, -2, -9, -2])


def test_values_are_laid_out_as_the_map():
    grid = gridworld("S.\n#G").to_grid([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(grid, [[1, 2], [np.nan, 3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("S.\n.x", r"row 1 of the map has 'x' at column 1; valid are S"),
        ("S..\n..", r"row 1 of the map, '\.\.', has 2 cells; row 0 has 3"),
        ("", "at least one cell"),
        (None, "at least one cell, got None"),
        ("GP\n##", "needs a start S or a floor cell"),
    ],
)
def test_bad_maps_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        gridworld(text)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"slip": 1.5}, "slip must be a probability"),
        ({"slip": np.nan}, "slip must be finite"),
        ({"slip": "0.2"}, "slip must hold real numbers"),
        ({"gamma": 1.0}, "gamma is 1"),
        ({"step_reward": np.nan}, "step_reward must be finite"),
    ],
)
def test_bad_numbers_are_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        gridworld("SG", **keywords)


def test_wrong_number_of_values_is_named():
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        gridworld("SG").to_grid([1, 2, 3])


maps = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.text(alphabet="SGP.#", min_size=width, max_size=width), min_size=1, max_size=5
    )
)


@given(rows=maps, slip=st.floats(0, 1))
def test_moves_reach_the_neighbour_or_stay(rows, slip):
    """Slow reference: follow every move of every cell one by one."""
    if not any(letter in "S." for row in rows for letter in row):
        return
    world = gridworld("\n".join(rows), slip=slip)
    where = {tuple(cell): state for state, cell in enumerate(world.cells.tolist())}
    for cell, state in where.items():
        for action in range(4):
            expected = np.zeros(len(where))
            for turn, probability in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
                target = tuple(np.add(cell, MOVES[(action + turn) % 4]).tolist())
                ends = rows[cell[0]][cell[1]] in "GP"
                expected[state if ends else where.get(target, state)] += probability
            np.testing.assert_allclose(world.mdp.P[state, action], expected, atol=1e-12)


def test_the_default_vector_environment_is_russell_and_norvigs_world():
    env = make_vector(3)
    assert env.single_observation_space.n == RUSSELL_NORVIG.count(".") + 3
    obs, _ = env.reset(seed=0)
    assert obs.tolist() == [7, 7, 7]
    _, reward, *_ = env.step(np.array([UP, DOWN, LEFT]))
    assert reward.tolist() == [-0.04] * 3
