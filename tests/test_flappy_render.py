import time

import gymnasium as gym
import numpy as np
import pytest

import metarl_lite  # noqa: F401  registers the ids
from metarl_lite.envs import flappy_game, flappy_render
from metarl_lite.envs.flappy import GROUND, Scene, VectorFlappyBird

SCENE = Scene(
    y=200.0,
    velocity=2.0,
    since_flap=5.0,
    pipes=((150.0, 230.0), (350.0, 150.0)),
    gap=120.0,
    travelled=600.0,
    score=7,
    crashed=False,
)


def changed(scene, **changes):
    """Where the picture differs once fields of `scene` change, (512, 288) bool."""
    other = Scene(**(vars(scene) | changes))
    return (flappy_render.picture(scene) != flappy_render.picture(other)).any(axis=-1)


@pytest.fixture
def no_screen(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_a_picture_is_rows_of_pixels_with_the_sky_above_and_the_ground_below():
    picture = flappy_render.picture(SCENE)
    assert picture.shape == (512, 288, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    red, _, blue = picture[5, 20].astype(int)
    assert blue > red + 50  # sky
    red, _, blue = picture[505, 20].astype(int)
    assert red > blue + 50  # soil


def test_pipes_are_drawn_where_the_physics_has_them():
    without = changed(SCENE, pipes=())
    rows, columns = np.nonzero(without[: GROUND - 1])
    beside = columns < 240
    assert abs(columns[beside].min() - (150 - 26 - 4)) <= 1  # a mouth is 4 wider
    assert abs(columns[beside].max() - (150 + 26 + 4)) <= 1
    inside = (rows > 230 - 59) & (rows < 230 + 59) & beside
    assert not inside.any()
    assert without[230 - 61, 150]
    assert without[230 + 61, 150]


def test_the_bird_is_drawn_at_its_height_and_turns_with_its_velocity():
    for y in (60.0, 200.0):
        rows, columns = np.nonzero(changed(Scene(**(vars(SCENE) | {"y": y})), y=340.0))
        upper = rows < 280
        assert abs(rows[upper].mean() - y) < 3
        assert abs(columns[upper].mean() - 72) < 3
    assert changed(SCENE, velocity=-6.0).any()
    assert changed(SCENE, since_flap=9.0).any()  # the wing
    assert not changed(SCENE, since_flap=500.0, velocity=2.01).any()  # the wing rests


def test_the_landscape_passes_more_slowly_the_farther_away_it_is():
    moved = changed(SCENE, travelled=601.0)
    assert moved[GROUND:].any()
    far = [changed(SCENE, travelled=600.0 + 1 / share) for share in (0.5, 0.06)]
    assert far[0][340:GROUND].any()
    assert not far[0][40:230].any()  # the clouds have not moved a pixel
    assert far[1][40:230].any()


def test_the_score_is_shown():
    rows, columns = np.nonzero(changed(SCENE, score=8))
    assert 30 < rows.min() < rows.max() < 80
    assert abs(columns.mean() - 144) < 15


def test_a_frame_takes_less_than_four_milliseconds():
    env = flappy_game.make_single(render_mode="rgb_array")
    env.reset(seed=0)
    seconds = []
    for i in range(60):
        if env.step(int(i % 6 == 0))[2]:
            env.reset()
        start = time.process_time()
        env.render()
        seconds.append(time.process_time() - start)
    assert np.median(seconds) < 0.004


def test_rgb_array_shows_the_crash_that_ended_the_game():
    env = flappy_game.make_single(render_mode="rgb_array")
    env.reset(seed=0)
    start = env.render()
    for _ in range(60):
        if env.step(0)[2]:
            break
    np.testing.assert_array_equal(env.render(), flappy_render.picture(env.vector_env.scene()))
    assert env.vector_env.scene().crashed
    assert (env.render() != start).any()


def test_a_window_shows_sixty_frames_a_second(no_screen):
    env = gym.make("metarl_lite/FlappyBird-v0", render_mode="human")
    env.reset(seed=0)
    assert env.metadata["render_fps"] == 60
    start = time.perf_counter()
    for _ in range(5):  # decisions of three frames
        env.step(0)
    assert time.perf_counter() - start > 0.9 * 15 / 60
    import pygame

    shown = pygame.surfarray.array3d(env.unwrapped._window).transpose(1, 0, 2)
    np.testing.assert_array_equal(shown, flappy_render.picture(env.unwrapped.vector_env.scene()))
    env.close()
    assert pygame.display.get_surface() is None


def test_a_film_of_decisions_runs_at_their_pace():
    assert flappy_game.make_single(render_mode="rgb_array").metadata["render_fps"] == 20
    assert flappy_game.make_single(frame_skip=1).metadata["render_fps"] == 60


def test_nothing_is_drawn_before_the_first_reset_or_without_a_render_mode():
    with pytest.raises(gym.error.ResetNeeded):
        flappy_game.make_single(render_mode="rgb_array").render()
    env = flappy_game.make_single()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_the_scene_tells_what_lies_behind_and_ahead():
    env = VectorFlappyBird()
    env.reset(seed=0)
    scene = env.scene()
    assert (scene.y, scene.velocity, scene.travelled, scene.score) == (216.0, 0.0, 0.0, 0)
    np.testing.assert_allclose([x for x, _ in scene.pipes], 72 + 280 + 200 * np.arange(3))
    assert [middle for _, middle in scene.pipes] == env._gaps[1:, 0].tolist()
    env._at[1], env._score[0] = 150.0, 4
    scene = env.scene()
    np.testing.assert_allclose([x for x, _ in scene.pipes], 72 + 150 + 200 * np.arange(-1, 3))
    assert scene.travelled == 280 + 4 * 200 - 150
