from dataclasses import fields

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_lite.envs import flappy, flappy_game, flappy_tasks
from metarl_lite.envs.flappy import (
    FLOOR,
    MAX_FALL,
    MIDDLE,
    RADIUS,
    REACH,
    START_X,
    START_Y,
    SWING,
    FlappyTasks,
    VectorFlappyBird,
    sample_tasks,
    told,
)
from metarl_lite.envs.flappy_tasks import CELLS, PHYSICS, SHIFTED, SPLITS, TRAINING, VALID

ANY_PHYSICS = st.builds(
    lambda rows: FlappyTasks(*np.array(rows).T),
    st.lists(
        st.tuples(
            *(
                st.integers(*VALID[name]) if name == "latency" else st.floats(*VALID[name])
                for name in PHYSICS
            )
        ),
        min_size=1,
        max_size=4,
    ),
)


class SlowBird:
    """The rules for one bird, frame by frame in plain Python: pipes in a list, commands too."""

    def __init__(self, task: FlappyTasks, frame_skip: int) -> None:
        self.task = {name: float(getattr(task, name)[0]) for name in PHYSICS}
        self.frame_skip = frame_skip
        self.y, self.velocity, self.score, self.frame = START_Y, 0.0, 0, 0
        self.commands = []  # the frames in which a flap was commanded
        self.pipes = [START_X + i * self.task["spacing"] for i in range(200)]  # ahead of the bird

    def step(self, flap: bool, gap_middle: float) -> tuple[float, bool]:
        """Play one decision; return its reward and whether the bird crashed."""
        crashed = False
        for i in range(self.frame_skip):
            if i == 0 and flap:
                self.commands.append(self.frame)
            if self.frame - self.task["latency"] in self.commands:
                self.velocity = -self.task["flap"]
            else:
                self.velocity = min(self.velocity + self.task["gravity"], MAX_FALL)
            self.y = min(max(self.y + self.velocity + self.task["wind"], RADIUS), FLOOR)
            self.pipes = [x - self.task["speed"] for x in self.pipes]
            room = self.task["gap"] / 2 - RADIUS
            beside = abs(self.pipes[self.score]) < REACH
            crashed |= self.y == FLOOR or (beside and abs(self.y - gap_middle) >= room)
            self.frame += 1
        if crashed:
            return -1.0, True
        if self.pipes[self.score] <= -REACH:
            self.score += 1
            return 1.0, False
        return 0.0, False

    def sees(self, gaps: np.ndarray) -> list[float]:
        """Return the observation; `gaps` are the middles of the next two."""
        since = min(self.frame - max(self.commands, default=-1_000), 60)
        sensed = self.y - self.task["sensor"]
        near, far = self.pipes[self.score : self.score + 2]
        heights = [(sensed - gap) / 100 for gap in gaps]
        return [
            *((432 - sensed) / 432, -self.velocity / 10, since / 60, self.task["gap"] / 200),
            *((near + REACH) / 288, heights[0], (far + REACH) / 288, heights[1]),
        ]


def skilful(env):
    """Flap where the bird would else sink below the middle of the next gap, half a jump lower."""
    task, (y, velocity) = env.tasks, (env._at[0], env._motion[0])
    wait = task.latency + env.frame_skip
    soon = y + wait * velocity + task.gravity * wait**2 / 2
    return (soon > env._aim[0] + 0.25 * task.gap).astype(int)


def still(task=None, **settings):
    """One bird between pipes that never come near: the first is put far away."""
    env = VectorFlappyBird(task or FlappyTasks(), frame_skip=1, **settings)
    env.reset(seed=0)
    env._at[1] = 1e6
    return env


def heights(env, actions):
    ys = []
    for action in actions:
        env.step(np.full(env.num_envs, action))
        ys.append(env._at[0].copy())
    return np.array(ys)


def test_free_fall_and_a_flap_by_hand():
    # From rest, n frames fall g (1 + ... + n) = g n (n + 1) / 2; a flap sets the velocity to -6.
    ys = heights(still(FlappyTasks(gravity=0.4, flap=6.0)), [0] * 5 + [1, 0])[:, 0]
    fallen = 0.4 * np.array([1, 3, 6, 10, 15])
    np.testing.assert_allclose(ys[:5], START_Y + fallen)
    np.testing.assert_allclose(ys[5:], ys[4] - np.array([6.0, 6.0 + 5.6]))


def test_wind_moves_the_air_and_the_fall_has_an_end_within_it():
    ys = heights(still(FlappyTasks(gravity=1.0, wind=[-1.0, 0.0, 1.0])), [0] * 20)
    velocity = np.diff(ys, axis=0)
    np.testing.assert_allclose(velocity[0], [1.0, 2.0, 3.0])
    np.testing.assert_allclose(velocity[-1], [MAX_FALL - 1, MAX_FALL, MAX_FALL + 1])


def test_a_command_arrives_exactly_latency_frames_later_and_none_is_lost():
    latency = [0, 1, 5, 30]
    env = still(FlappyTasks(gravity=0.05, flap=2.0, latency=latency))
    actions = [1, 1, 0, 1] + [0] * 40
    lifted = np.diff(heights(env, actions), axis=0, prepend=START_Y) == -2.0
    for i, frames in enumerate(latency):
        assert np.flatnonzero(lifted[:, i]).tolist() == [frames, frames + 1, frames + 3]


def test_the_top_of_the_screen_stops_the_bird_and_the_ground_ends_the_game():
    env = still()
    assert heights(env, [1] * 60)[-1, 0] == RADIUS
    env = still(autoreset=False)
    for _ in range(60):
        _, reward, terminated, truncated, _ = env.step(np.array([0]))
        if terminated:
            break
    assert env._at[0, 0] == FLOOR
    assert (reward, terminated, truncated) == (-1, True, False)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("ahead", [REACH, 0, -REACH])  # entering, within, leaving
def test_a_bird_crashes_where_its_square_meets_the_pipe_and_not_before(side, ahead):
    # Five birds at rest in one frame: in the gap and out of it, beside the pipe and not quite.
    env = VectorFlappyBird(FlappyTasks(gap=100.0, gravity=0.05).repeat(4), frame_skip=1)
    env.reset(seed=0)
    room, inside = 50 - RADIUS, np.sign(-ahead) if ahead else 0
    away = np.array([room - 0.1, room + 0.1, room - 0.1, room + 0.1])
    outwards = 0.1 * np.array([1, 1, -1, -1]) * (1 if ahead > 0 else -1)
    env._at[0] = env._aim[0] + side * away - 0.05
    env._at[1] = ahead + env.tasks.speed + (outwards if inside else 0)
    _, _, crashed, _, infos = env.step(np.zeros(4, dtype=int))
    beside = [False, False, True, True] if ahead else [True] * 4
    assert crashed.tolist() == [b and bool(a > room) for b, a in zip(beside, away, strict=True)]
    gone = infos["score"] == 1
    assert gone.tolist() == ([True, True, False, False] if ahead < 0 else [False] * 4)


def test_a_pipe_left_behind_in_the_decision_that_crashed_does_not_count():
    env = VectorFlappyBird(FlappyTasks(speed=4.0), frame_skip=2, autoreset=False)
    env.reset(seed=0)
    env._at[:, 0] = env._aim[0, 0] + 100, -REACH + 6  # beside the pipe, and behind it a frame later
    _, reward, terminated, _, infos = env.step(np.array([0]))
    assert env._at[1, 0] < -REACH
    assert (reward, terminated, infos["score"]) == (-1, True, 0)


@given(ANY_PHYSICS, st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_many_birds_play_by_the_rules_told_frame_by_frame_for_one(tasks, frame_skip, seed):
    env, rng = VectorFlappyBird(tasks, frame_skip=frame_skip), np.random.default_rng(seed)
    obs, _ = env.reset(seed=seed)
    slow = [SlowBird(tasks[[i]], frame_skip) for i in range(len(tasks))]
    for _ in range(60):
        assert env.observation_space.contains(obs)
        for i, bird in enumerate(slow):
            np.testing.assert_allclose(obs[i], bird.sees(env._gaps[1:3, i]), atol=1e-5)
        random, ends = rng.random(len(tasks)), rng.integers(2, size=len(tasks))
        action, gaps = np.where(random < 0.3, ends, skilful(env)), env._gaps.copy()
        obs, reward, terminated, truncated, infos = env.step(action)
        assert env.observation_space.contains(infos["final_obs"])
        assert not truncated.any()
        for i, bird in enumerate(slow):
            assert bird.step(action[i] == 1, gaps[1, i]) == (reward[i], terminated[i])
            assert infos["score"][i] == bird.score
            seen = gaps[1 + (reward[i] == 1) :, i][:2]
            np.testing.assert_allclose(infos["final_obs"][i], bird.sees(seen), atol=1e-5)
            if terminated[i]:
                slow[i] = SlowBird(tasks[[i]], frame_skip)


@given(ANY_PHYSICS, st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_vector_equals_single_environments_step_by_step_through_resets(tasks, seed):
    vector, rng = VectorFlappyBird(tasks, max_pipes=2), np.random.default_rng(seed)
    vector.reset(seed=seed)
    singles = [flappy_game.make_single(tasks=tasks[[i]], max_pipes=2) for i in range(len(tasks))]
    for single in singles:
        single.reset(seed=0)
    for _ in range(60):
        for i, single in enumerate(singles):  # the pipes are drawn at random, and shared
            single.vector_env._gaps[:] = vector._gaps[:, [i]]
            single.vector_env._aim[:] = vector._aim[:, [i]]
        random = rng.random(len(tasks)) < 0.2
        action = np.where(random, rng.integers(2, size=len(tasks)), skilful(vector))
        _, reward, terminated, truncated, infos = vector.step(action)
        for i, single in enumerate(singles):
            obs, *outcome, info = single.step(action[i])
            np.testing.assert_array_equal(obs[:7], infos["final_obs"][i][:7])
            assert outcome == [reward[i], terminated[i], truncated[i]]
            assert info == {"score": infos["score"][i]}
            if terminated[i] or truncated[i]:
                single.reset()


def test_a_decision_of_three_frames_is_a_frame_with_the_action_and_two_without():
    tasks = sample_tasks(np.random.default_rng(0), 50)
    slow, fast = (VectorFlappyBird(tasks, frame_skip=k) for k in (3, 1))
    slow.reset(seed=0)
    fast.reset(seed=0)
    alive = np.ones(50, dtype=bool)  # in either, so far
    for _ in range(120):
        fast._gaps, fast._aim = slow._gaps.copy(), slow._aim.copy()  # the same pipes
        action = skilful(slow)
        ends = [fast.step(a)[2] for a in (action, 0 * action, 0 * action)]
        crashed = slow.step(action)[2]
        np.testing.assert_array_equal(crashed[alive], np.any(ends, axis=0)[alive])
        alive &= ~crashed
        np.testing.assert_allclose(slow._at[:, alive], fast._at[:, alive])
    assert 5 < alive.sum() < 45
    assert slow._score[alive].min() > 1


def test_a_finished_bird_restarts_in_the_same_step_and_final_obs_keeps_the_successor():
    env = VectorFlappyBird(FlappyTasks().repeat(3), max_pipes=2)
    env.reset(seed=0)
    seen = {"terminated": 0, "truncated": 0}
    for _ in range(400):
        obs, _, terminated, truncated, infos = env.step(skilful(env) * [1, 1, 0])
        done = terminated | truncated
        np.testing.assert_array_equal(infos["_final_obs"], done)
        np.testing.assert_array_equal(infos["final_obs"][~done], obs[~done])
        np.testing.assert_allclose(obs[done][:, :3], np.tile([0.5, 0, 1], (done.sum(), 1)))
        assert not (terminated & truncated).any()
        assert not env.scene(2).crashed  # it shows the new game
        assert (infos["score"][truncated] == 2).all()
        seen["terminated"] += terminated.sum()
        seen["truncated"] += truncated.sum()
    assert min(seen.values()) > 1


def test_without_autoreset_the_end_is_kept_and_reset_must_follow():
    env = VectorFlappyBird(autoreset=False)
    env.reset(seed=0)
    for _ in range(60):
        if env.step(np.array([0]))[2][0]:
            break
    assert env.scene().crashed
    assert env.scene().y == FLOOR
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([0]))
    env.reset()
    assert not env.scene().crashed
    env.step(np.array([0]))


def test_a_seed_reproduces_the_games_and_another_does_not():
    def course(seed):
        env = VectorFlappyBird(FlappyTasks().repeat(4))
        steps = [env.reset(seed=seed)[0]]
        return np.stack(steps + [env.step(np.array([0, 1, 0, 1]))[0] for _ in range(50)])

    np.testing.assert_array_equal(course(3), course(3))
    assert (course(3)[:, :, [5, 7]] != course(4)[:, :, [5, 7]]).all()
    assert len(np.unique(course(3)[0, :, 5])) == 4  # each bird has its own pipes


def test_what_is_returned_is_a_copy():
    env = VectorFlappyBird(FlappyTasks().repeat(2))
    env.reset(seed=0)
    obs, _, terminated, _, infos = env.step(np.array([0, 1]))
    state, kept = env._at.copy(), obs.copy()
    infos["final_obs"] += 1
    infos["score"] += 1
    terminated |= True
    np.testing.assert_array_equal(obs, kept)
    obs += 1
    np.testing.assert_array_equal(env._at, state)
    assert env._score.tolist() == [0, 0]
    assert not env._crashed.any()


def test_physics_are_told_between_minus_one_and_one_over_the_training_range():
    low, high = (FlappyTasks(*(TRAINING[name][i] for name in PHYSICS)) for i in (0, 1))
    np.testing.assert_allclose(told(low), [[-1] * 8])
    np.testing.assert_allclose(told(high), [[1] * 8])
    assert tuple(f.name for f in fields(FlappyTasks)) == PHYSICS
    obs, _ = VectorFlappyBird(high, tell=("sensor", "gap")).reset(seed=0)
    np.testing.assert_allclose(obs[:, 8:], [[1, 1]])
    env = VectorFlappyBird(low, tell=PHYSICS)
    obs, _ = env.reset(seed=0)
    plain, _ = VectorFlappyBird(low).reset(seed=0)
    np.testing.assert_allclose(obs, np.concatenate([plain, told(low)], axis=1), atol=1e-6)
    for i in (0, 1):
        extreme = FlappyTasks(*(VALID[name][i] for name in PHYSICS))
        env = VectorFlappyBird(extreme, tell=PHYSICS)
        assert env.observation_space.contains(env.reset(seed=0)[0])


@pytest.mark.parametrize("split", SPLITS)
def test_sampled_physics_fill_the_range_of_their_split_uniformly(split):
    tasks = sample_tasks(np.random.default_rng(0), 6_000, split=split)
    for name in PHYSICS:
        values = getattr(tasks, name)
        low, high = TRAINING[name]
        if split == "shifted" and name in SHIFTED:
            low, high = SHIFTED[name]
            if name in ("wind", "sensor"):
                assert abs((values > 0).mean() - 0.5) < 4 * np.sqrt(0.25 / 6_000)
                values = abs(values)
        unit = (values - low) / (high - low)
        assert 0 <= unit.min() < 0.02
        assert 0.98 < unit.max() <= 1
        assert abs(unit.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 6_000) * (
            1.5 if len(set(unit)) < 20 else 1
        )
    again = sample_tasks(np.random.default_rng(0), 6_000, split=split)
    np.testing.assert_array_equal(again.sensor, tasks.sensor)


def test_training_and_held_out_physics_share_their_range_and_no_cell():
    def cells(split):
        unit = (told(sample_tasks(np.random.default_rng(1), 3_000, split=split)) + 1) / 2
        wind, sensor = (unit[:, PHYSICS.index(name)] for name in ("wind", "sensor"))
        return set(zip((wind * CELLS).astype(int), (sensor * CELLS).astype(int), strict=True))

    training, held_out = cells("training"), cells("held_out")
    assert training.isdisjoint(held_out)
    assert len(held_out) == CELLS
    assert len(training) == CELLS**2 - CELLS


def furthest_of_a_search(tasks, *, copies, num_pipes, max_steps):
    """The pipes that a bird gets through in each task, between gaps as far apart as can be.

    Copies of a bird flap at random, as often as hovering needs; those that crash go on as one that
    has not. Where all crash at once, the search ends with what it had.
    """
    env, rng = VectorFlappyBird(tasks.repeat(copies)), np.random.default_rng(0)
    env.reset(seed=0)
    hover = 0.5 * env.frame_skip * env.tasks.gravity / (env.tasks.flap - env.tasks.wind)
    furthest, lost = np.zeros(len(tasks), dtype=int), np.zeros(len(tasks), dtype=bool)
    for _ in range(max_steps):
        high = (np.arange(4)[:, None] + env._score) % 2  # a high gap, a low one, and so on
        env._gaps = MIDDLE + SWING * (2.0 * high - 1)
        env._aim[0] = env._gaps[1]
        crashed = env.step((rng.random(env.num_envs) < hover).astype(int))[2]
        alive = ~crashed.reshape(len(tasks), copies)
        lost |= ~alive.any(axis=1)
        scores = env._score.reshape(alive.shape).max(axis=1)
        furthest = np.where(lost, furthest, np.maximum(furthest, scores))
        if (lost | (furthest >= num_pipes)).all():
            break
        some = [rng.choice(row.nonzero()[0] if row.any() else [0], copies) for row in alive]
        source = np.where(alive, np.arange(copies), some)
        source += copies * np.arange(len(tasks))[:, None]
        for name in ("_at", "_motion", "_commands", "_since", "_score"):
            setattr(env, name, getattr(env, name)[..., source.ravel()])
    return furthest


@pytest.mark.parametrize("split", SPLITS)
def test_every_sampled_physics_lets_a_bird_through(split):
    tasks = sample_tasks(np.random.default_rng(0), 32, split=split)
    assert furthest_of_a_search(tasks, copies=256, num_pipes=8, max_steps=400).min() >= 8


def test_the_search_finds_no_way_where_there_is_none():
    tasks = FlappyTasks(gap=50.0, flap=12.0, gravity=0.2)  # one flap: 360 pixels
    assert furthest_of_a_search(tasks, copies=64, num_pipes=8, max_steps=400).max() < 3


def test_the_makers_draw_tasks_with_the_seed_and_pass_settings_on():
    first, again = (flappy_game.make_vector(4, seed=5, split="shifted") for _ in range(2))
    np.testing.assert_array_equal(first.tasks.gravity, again.tasks.gravity)
    assert len(set(first.tasks.gravity)) == 4
    assert flappy_game.make_vector(2, frame_skip=1).frame_skip == 1
    assert flappy_game.make_single(max_pipes=3).vector_env.max_pipes == 3
    assert (
        flappy.FAMILY.make_env(flappy.FAMILY.sample_tasks(np.random.default_rng(0), 3)).num_envs
        == 3
    )


def test_tasks_repeat_and_are_taken_by_index():
    tasks = FlappyTasks(gravity=[0.3, 0.5]).repeat(2)
    assert tasks.gravity.tolist() == [0.3, 0.3, 0.5, 0.5]
    assert tasks[1:3].gravity.tolist() == [0.3, 0.5]
    assert len(tasks[2]) == 1
    with pytest.raises(ValueError, match="latency must be whole frames"):
        FlappyTasks(latency=1.5)
    with pytest.raises(ValueError, match=r"gap must be .*-10"):
        FlappyTasks(gap=-10.0)
    assert flappy_tasks.STANDARD.gap.tolist() == [125.0]
