from itertools import product

import numpy as np
import pytest

from metarl_lite.envs.gridnav import MOVES, GridNav
from metarl_lite.oracles.gridnav import bayes_optimal_walk, goal_cells, search_returns


def play_search(walk, goal, *, size, horizon, num_episodes):
    """Return the returns of an agent that walks there, then stays on the goal or goes to it."""
    env, found, returns = GridNav(np.array([goal]), size=size, horizon=horizon), False, []
    for episode in range(num_episodes):
        cell, total = env.reset()[0][0], 0.0
        for target in walk[episode * horizon : (episode + 1) * horizon]:
            target = goal if found else target
            distance = abs(cell + MOVES - target).sum(axis=1)  # staying comes first among equals
            obs, reward, *_ = env.step(distance.argmin(keepdims=True))
            cell, total = obs[0], total + reward[0]
            found = found or reward[0] > 0
        returns.append(total)
    return np.array(returns)


SETTINGS = [(3, 3, 2), (3, 4, 1), (3, 2, 3), (4, 5, 1), (3, 6, 1)]


@pytest.mark.parametrize(("size", "horizon", "num_episodes"), SETTINGS)
def test_no_walk_at_all_does_better(size, horizon, num_episodes):
    setting = {"size": size, "horizon": horizon, "num_episodes": num_episodes}
    steps, best = horizon * num_episodes, -np.inf
    for moves in product(MOVES[1:], repeat=steps):  # to stay is never better than to search
        walk, cell = [], np.zeros(2, int)
        for t, move in enumerate(moves):
            cell = np.clip((0 if t % horizon == 0 else cell) + move, 0, size - 1)
            walk.append(cell)
        best = max(best, search_returns(np.array(walk), **setting).sum())
    walk = bayes_optimal_walk(**setting)
    assert search_returns(walk, **setting).sum() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize(("size", "horizon", "num_episodes"), [(5, 15, 4), (4, 6, 2), (3, 3, 2)])
def test_a_search_is_worth_what_it_earns_in_the_environment(size, horizon, num_episodes):
    setting = {"size": size, "horizon": horizon, "num_episodes": num_episodes}
    walk = bayes_optimal_walk(**setting)
    played = [play_search(walk, np.array(goal), **setting) for goal in goal_cells(size)]
    np.testing.assert_allclose(search_returns(walk, **setting), np.mean(played, axis=0))


def test_the_optimum_of_varibads_setting():
    returns = search_returns(bayes_optimal_walk())
    knows = 15 - 1.1 * (96 / 21 - 1)  # the goals are 96 / 21 steps away on average
    np.testing.assert_allclose(returns, [4.0, knows, knows, knows])


def test_no_search_can_beat_it():
    """At best every step from the second on rules out a new cell; later, the goal is known."""
    first = sum(15 - 1.1 * t for t in range(1, 15)) / 21 + 7 / 21 * -1.5
    assert search_returns(bayes_optimal_walk())[0] == pytest.approx(first)


def test_the_optimal_walk_is_a_walk():
    walk = np.array(bayes_optimal_walk())
    for episode in walk.reshape(4, 15, 2):
        steps = np.diff(episode, axis=0, prepend=[[0, 0]])
        assert (abs(steps).sum(axis=1) <= 1).all()


def test_a_search_that_stays_at_home_finds_nothing():
    assert search_returns(np.zeros((60, 2), int)).tolist() == [-1.5] * 4


def test_a_walk_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"\(60, 2\)"):
        search_returns(np.zeros((15, 2), int))
