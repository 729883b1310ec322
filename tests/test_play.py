import subprocess
import sys
import time

import numpy as np
import pygame
import pytest

from metarl_lite import flappy_agent, play
from metarl_lite.envs.flappy import GROUND, HEIGHT, WIDTH, VectorFlappyBird
from metarl_lite.envs.flappy_render import picture
from metarl_lite.envs.flappy_tasks import PHYSICS


@pytest.fixture(autouse=True)
def virtual_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    pygame.display.quit()


def never(obs, reward, begins, memory):
    return np.zeros(len(obs), dtype=int), memory


def timid(obs, reward, begins, memory):
    """Flap below the middle of the gap."""
    return (obs[:, 5] > 0.15).astype(int), memory


class Witness:
    """Act as `timid` for 150 decisions, which it counts, then glide; note down what is told."""

    def __init__(self):
        self.told = []

    def __call__(self, obs, reward, begins, memory):
        self.told.append((obs[0].tolist(), reward[0], begins[0], memory))
        count = memory or 0
        return (timid if count < 150 else never)(obs, reward, begins, count + 1)


def press(key):
    return pygame.event.Event(pygame.KEYDOWN, key=key)


def run_with(game, events, *, frames):
    """Run the window; `events[i]` are posted before frame i. Return what it showed in each."""
    shown, plain_frame = [], game.frame

    def frame():
        plain_frame()
        for event in events.get(game.clock, ()):
            pygame.event.post(event)
        shown.append(pygame.surfarray.array3d(pygame.display.get_surface()))

    game.frame = frame
    play.run(game, max_frames=frames)
    return shown


def test_the_space_key_the_up_key_and_a_click_flap():
    for event in (
        press(pygame.K_SPACE),
        press(pygame.K_UP),
        pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(3, 3)),
    ):
        game = play.Game(seed=0)
        run_with(game, {5: [event]}, frames=5)
        assert not game.lanes[0].running  # it waits for the first flap
        run_with(game, {game.clock + 1: [event]}, frames=game.clock + 4)
        you = game.lanes[0]
        assert you.running
        assert you.env._motion[0, 0] < 0
        assert you.env._at[0, 0] < 216


def test_a_flap_that_came_too_late_does_not_begin_the_next_game():
    game = play.Game(seed=0)
    game.handle(press(pygame.K_SPACE))
    for _ in range(200):
        game.frame()
        if game.lanes[0].over_for:
            break
    assert game.lanes[0].env.scene().crashed
    game.handle(press(pygame.K_SPACE))
    assert game.lanes[0].over_for
    for _ in range(30):
        game.frame()
    game.handle(press(pygame.K_SPACE))
    assert not game.lanes[0].over_for
    assert not game.lanes[0].running
    game.handle(press(pygame.K_SPACE))
    game.frame()
    assert game.lanes[0].env._motion[0, 0] < 0


def test_keys_choose_the_physics():
    game = play.Game(seed=0)
    for i, (name, tasks) in enumerate(play.PRESETS.items()):
        game.handle(press(pygame.K_1 + i))
        assert game.name == name
        assert game.lanes[0].env.tasks is tasks
    game.handle(press(pygame.K_r))
    first = game.tasks
    game.handle(press(pygame.K_r))
    assert first.gravity != game.tasks.gravity
    game.handle(press(pygame.K_9))  # nothing hangs on it
    assert game.name == "drawn at random"
    assert not game.quit


@pytest.mark.parametrize("event", [press(pygame.K_ESCAPE), pygame.event.Event(pygame.QUIT)])
def test_escape_and_the_windows_cross_end_it(event):
    game = play.Game(seed=0)
    run_with(game, {3: [event]}, frames=100)
    assert game.clock <= 5
    assert pygame.display.get_surface() is None


def test_the_window_shows_both_lanes_as_large_as_the_screen_allows():
    game = play.Game((timid, ()), seed=0)
    shown = run_with(game, {2: [press(pygame.K_SPACE)]}, frames=12)[-1]
    scale = shown.shape[0] / (2 * WIDTH)
    assert 1 <= scale <= 2
    assert shown.shape[1] == round(scale * HEIGHT)
    canvas = pygame.surfarray.array3d(game.canvas).transpose(1, 0, 2)
    for i, lane in enumerate(game.lanes):
        part = canvas[:, i * WIDTH : (i + 1) * WIDTH]
        same = (part == picture(lane.env.scene())).all(axis=-1)
        assert same.mean() > 0.9  # all but the words
        assert same[240:420, 10:120].all()
        for row in range(3):  # the physics, in words on the ground
            assert not same[GROUND + 20 + 18 * row :][:18, 8:200].all()
    assert (canvas[:, :WIDTH] != canvas[:, WIDTH:]).any()


def test_the_agent_is_told_in_the_window_what_its_environment_tells():
    """For a whole game, and how it ended; after it the game goes on alone, with other pipes."""
    agent, judge = Witness(), Witness()
    game = play.Game((agent, ()), seed=3)
    env = VectorFlappyBird(game.tasks, autoreset=False)
    obs, _ = env.reset(seed=int(np.random.default_rng(3).integers(2**31)))
    reward, begins, memory, crashed = np.zeros(1), np.ones(1, dtype=bool), None, [False]
    while not crashed[0]:
        actions, memory = judge(obs, reward, begins, memory)
        obs, reward, crashed, _, info = env.step(actions)
        begins = np.zeros(1, dtype=bool)
    assert info["score"][0] > 1
    while len(agent.told) <= memory:
        game.frame()
    for seen, expected in zip(agent.told, judge.told, strict=False):
        np.testing.assert_allclose(seen[0], expected[0], atol=1e-6)
        assert seen[1:] == expected[1:]
    assert agent.told[memory][1:] == (-1.0, True, memory)
    assert game.lanes[1].best == info["score"][0]


def test_other_physics_leave_nothing_to_remember():
    agent = Witness()
    game = play.Game((agent, ()), seed=0)
    for event in (press(pygame.K_SPACE), press(pygame.K_3), press(pygame.K_r)):
        game.frame()
        before = len(agent.told)
        game.handle(event)
        game.frame()
        _, reward, begins, memory = agent.told[before]
        assert begins
        assert memory == (before if event.key == pygame.K_SPACE else None)
        assert event.key == pygame.K_SPACE or reward == 0


def test_it_runs_no_faster_than_sixty_frames_a_second():
    begin = time.perf_counter()
    play.run(play.Game(seed=0), max_frames=30)
    assert time.perf_counter() - begin > 29 / 61


def test_person_and_agent_meet_the_same_pipes():
    game = play.Game((never, ()), seed=0)
    for _ in range(2):
        you, agent = (lane.env._gaps for lane in game.lanes)
        np.testing.assert_array_equal(you, agent)
        game.begin()
        assert (you != game.lanes[0].env._gaps).all()


def test_the_agent_goes_on_alone_where_nobody_plays():
    game = play.Game((never, ()), seed=0)
    games = set()
    for _ in range(400):
        game.frame()
        games.add(float(game.lanes[1].env._gaps[1, 0]))
    assert len(games) > 1


def test_without_a_screen_it_says_so(monkeypatch):
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    with pytest.raises(SystemExit, match=r"No screen was found .* run it on a computer"):
        play.main([])

    def fails():
        raise pygame.error("No available video device")

    monkeypatch.setattr(pygame.display, "init", fails)
    with pytest.raises(SystemExit, match="No available video device"):
        play.main(["--agent"])


def test_the_game_alone_needs_no_torch():
    """It opens in an environment of numpy, Gymnasium and pygame, and says what the agent needs."""
    code = """
import sys
for name in ("torch", "scipy", "matplotlib", "tqdm", "IPython"):
    sys.modules[name] = None  # an import fails
from metarl_lite import play
play.run(play.Game(seed=0), max_frames=3)
play.main(["--agent"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("The agent needs the book's whole environment")
    assert "torch" in done.stderr


def test_an_agent_is_trained_where_none_was_saved_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    games, trained = [], []
    train_agent = flappy_agent.train_agent
    monkeypatch.setattr(play, "run", games.append)
    monkeypatch.setattr(
        flappy_agent,
        "train_agent",
        lambda: trained.append(train_agent(total_steps=8_192, progress=False)) or trained[-1],
    )
    for _ in range(2):
        play.main(["--agent", "--seed", "3"])
    assert len(trained) == 1
    assert flappy_agent.AGENT.exists()
    assert [len(game.lanes) for game in games] == [2, 2]
    assert games[0].lanes[1].tell == PHYSICS
    play.main([])
    assert len(games[-1].lanes) == 1


def test_a_file_that_holds_no_agent_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flappy_agent.AGENT.parent.mkdir()
    flappy_agent.AGENT.write_bytes(b"no weights")
    with pytest.raises(SystemExit, match=r"(?s)flappy_agent.pt holds no agent .* Remove that file"):
        play.main(["--agent"])
    assert flappy_agent.AGENT.read_bytes() == b"no weights"
