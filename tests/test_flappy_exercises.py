"""The judges of chapter 16's exercises, against exact answers and the game's own physics."""

import numpy as np
import pytest
import torch

from metarl_lite.envs.flappy import STANDARD, FlappyTasks, VectorFlappyBird
from metarl_lite.exercises import flappy as ex

GAMMA = 0.8


def greedy_policy_of(reward, transition):
    """Return the greedy actions (state,) of an MDP whose last state ends the episode."""
    q = np.zeros(reward.shape[:2])
    for _ in range(300):
        value = np.append(q.max(axis=1), 0.0)
        q = (transition * (reward + GAMMA * value)).sum(axis=-1)
    return q.argmax(axis=1)


def shaped_policies(shaping, num_problems=40):
    """Return for how many random problems the best policy stays what it was."""
    kept = 0
    for seed in range(num_problems):
        rng = np.random.default_rng(seed)
        reward, transition = rng.normal(size=(4, 3, 5)), rng.dirichlet(np.ones(5), size=(4, 3))
        phi = 3 * rng.normal(size=5)  # the end has a potential too, which must not count
        before, after = (np.broadcast_to(p, (4, 3, 5)) for p in (phi[:4, None, None], phi))
        ends = np.broadcast_to(np.arange(5) == 4, (4, 3, 5))
        new = shaping(reward, before, after, ends, np.zeros_like(ends), GAMMA)
        kept += (greedy_policy_of(new, transition) == greedy_policy_of(reward, transition)).all()
    return kept


def test_the_shaped_reward_keeps_every_best_policy():
    assert shaped_policies(ex.q1.answer) == 40


def test_shaping_without_gamma_or_paid_at_the_end_changes_best_policies():
    assert max(shaped_policies(mutant.answer) for mutant in ex.q1.mutants[:2]) < 30


def test_shaping_with_the_sign_turned_is_shaping_still():
    assert shaped_policies(ex.q1.mutants[2].answer) == 40


def test_wind_blows_as_in_the_game():
    rng = np.random.default_rng(0)
    tasks = FlappyTasks(gravity=rng.uniform(0.3, 0.5, 32), flap=5.5, wind=rng.uniform(-1, 1, 32))
    env = VectorFlappyBird(tasks, frame_skip=1)
    env.reset(seed=0)
    y, velocity = np.full(32, 216.0), np.zeros(32)
    for _ in range(22):
        flaps = rng.random(32) < 0.06
        y, velocity = ex.windy_frame(y, velocity, flaps, tasks.gravity, tasks.flap, tasks.wind)
        env.step(flaps.astype(int))
        np.testing.assert_allclose([env.scene(i).y for i in range(32)], y)
        np.testing.assert_allclose([env.scene(i).velocity for i in range(32)], velocity)


def test_a_meta_learner_with_two_bugs_left_is_told_both():
    message = ex.q3.judge(ex._with_bugs(twice=True, anew=True, unfilled=False)).message
    assert [bug in message for bug in ex.BUGS] == [True, True, False]


def test_openings_end_in_no_crash_and_hold_one_command():
    obs, action, _ = ex.openings(num_games=300, seed=3)
    assert obs.shape == (300, 10, 8)
    assert (action.sum(axis=1) == 1).all()
    ahead = obs[:, :, 4] * 288  # a crash would bring a new game, and its first pipe further away
    assert (np.diff(ahead, axis=1) < 0).all()


def test_sensor_and_latency_can_be_read_from_an_opening():
    obs, action, tasks = ex.openings(num_games=300, seed=4)
    numbers = np.array([ex.recoverable(o, a) for o, a in zip(obs, action, strict=True)])
    np.testing.assert_allclose(432 * numbers[:, 0] - 216, tasks.sensor, atol=1e-3)
    np.testing.assert_array_equal(numbers[:, 1], tasks.latency // 3)


def test_an_observation_of_too_many_numbers_is_refused():
    assert "four" in ex.q4.judge(lambda obs, action: obs.flatten()).message
    assert "four" in ex.q4.judge(lambda obs, action: obs[:2]).message
    assert "four" in ex.q4.judge(lambda obs, action: np.full(2, np.nan)).message


def test_pipes_are_those_of_the_first_game_up_to_its_end():
    tasks = STANDARD.repeat(3)
    pipes = ex.pipes_passed(lambda obs, first: np.array([0, 1, 1]), tasks)
    assert pipes.tolist() == [0, 0, 0]
    assert ex.pipes_passed(ex.heuristic, tasks, max_pipes=7).tolist() == [7, 7, 7]


def test_a_controller_sees_the_first_observation_of_its_game():
    tasks, seen = FlappyTasks(sensor=np.array([-50.0, 0.0, 50.0])), []

    def controller(obs, first):
        seen.append(first[:, 0] * 432 - 216)
        return np.zeros(3, dtype=int)

    ex.pipes_passed(controller, tasks)
    for errors in seen:
        np.testing.assert_allclose(errors, tasks.sensor, atol=1e-4)


def test_a_controller_that_returns_other_actions_is_told_what_would_do():
    assert "zeros or ones" in ex.q5.judge(lambda obs, first: np.full(len(obs), 2)).message
    assert "zeros or ones" in ex.q5.judge(lambda obs, first: 1).message


def test_a_controller_is_told_on_which_birds_it_fails(monkeypatch):
    def pipes(controller, tasks):
        return 3 * (np.abs(tasks.sensor) < 15) + 1 * (tasks.latency <= 3)

    monkeypatch.setattr(ex, "pipes_passed", pipes)
    message = ex.q5.judge(ex.heuristic).message
    assert "4.0 where altimeter and nerves are good" in message
    assert "1.0 where the altimeter is wrong, 3.0 where the nerves are slow" in message


def test_physics_outside_the_family_break_nothing():
    assert "between 0 and 12" in ex.q6.judge(("latency", 20)).message


@pytest.mark.parametrize("change", [("sensor", 45.0), ("sensor", -30), ("latency", 12)])
def test_other_numbers_break_the_heuristic_too(change):
    assert ex.q6.judge(change).status == "correct"


@pytest.mark.parametrize("change", ["latency", ("weight", 3), ("sensor", "much"), 8, ("sensor",)])
def test_what_is_no_change_of_the_physics_is_told_so(change):
    assert ex.q6.judge(change).status == "wrong"


def test_the_repaired_meta_learner_goes_half_way_to_the_learner_by_hand():
    net, states, targets = torch.nn.Linear(3, 2).double(), torch.eye(3).double(), torch.ones(3, 2)
    weight, bias = (p.detach().clone() for p in net.parameters())
    adapted_weight, adapted_bias = weight.clone(), bias.clone()
    for _ in range(3):
        gradient = (adapted_weight.T + adapted_bias - targets) / 3  # of the mean of six squares
        adapted_weight, adapted_bias = (
            adapted_weight - 0.1 * gradient.T,
            adapted_bias - 0.1 * gradient.sum(dim=0),
        )
    found = ex.meta_train(net, [0], lambda learner, task: (states, targets.double()), [])
    expected = torch.cat([((weight + adapted_weight) / 2).flatten(), (bias + adapted_bias) / 2])
    torch.testing.assert_close(found, expected)
