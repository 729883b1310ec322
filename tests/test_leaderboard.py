"""The leaderboard: six games of every bird, hidden ones, and no bad agent costs anything."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl_lite import leaderboard
from metarl_lite.envs.flappy import STANDARD, FlappyTasks
from metarl_lite.flappy_agent import save_agent
from metarl_lite.leaderboard import Agent
from metarl_lite.nets import stacked_mlp

GLIDE = "def act(obs, reward, begins, memory):\n    return 0 * begins, memory\n"
FLAP_LOW = """
def act(obs, reward, begins, memory):
    return (obs[:, 5] > 0.1).astype(int), None
"""


@pytest.fixture
def board(tmp_path, monkeypatch):
    path = tmp_path / "new" / "board.json"
    monkeypatch.setattr(leaderboard, "BOARD", path)
    return path


def agent_file(tmp_path: Path, code: str, name: str = "mine.py") -> Path:
    path = tmp_path / name
    path.write_text(code)
    return path


def test_games_of_a_bird_are_counted_apart():
    def act(obs, reward, begins, memory):
        """Play well in the first game and in the third, and glide in the second."""
        game = begins.astype(int) if memory is None else memory + begins
        return (game != 2) * (obs[:, 5] > 0.1), game

    pipes = leaderboard.play(Agent("odd", act), STANDARD.repeat(2), seed=0, num_games=3)
    assert pipes.tolist() == [[20, 0, 20]] * 2


def test_a_bird_that_is_done_goes_on_without_a_score():
    tasks = FlappyTasks(sensor=np.array([0.0, 60.0]))  # the second crashes at once, often

    def act(obs, reward, begins, memory):
        return (obs[:, 5] > 0.1).astype(int), None

    pipes = leaderboard.play(Agent("h", act), tasks, seed=0, num_games=2, max_pipes=5)
    assert pipes.tolist() == [[5, 5], [0, 0]]


def test_an_agent_sees_what_paid_and_where_games_begin():
    seen = []

    def act(obs, reward, begins, memory):
        seen.append((obs.copy(), reward.copy(), begins.copy(), memory))
        obs[:] = reward[:] = np.nan  # its own copies
        return np.zeros(2, dtype=int), len(seen)

    leaderboard.play(Agent("glider", act), STANDARD.repeat(2), seed=0, num_games=2)
    obs, reward, begins, memory = (list(column) for column in zip(*seen, strict=True))
    assert memory == [None, *range(1, len(seen))]
    assert all(np.isfinite(o).all() for o in obs)
    assert begins[0].all()
    first, second = np.flatnonzero([b.all() for b in begins])
    assert first == 0
    np.testing.assert_array_equal(reward[second], [-1, -1])  # of the crash that ended the first
    np.testing.assert_allclose(obs[second][:, 0], obs[0][:, 0])
    assert not np.any(begins[1:second])


def test_a_salt_draws_the_same_birds_and_another_salt_others():
    agent = Agent("h", lambda obs, reward, begins, memory: ((obs[:, 5] > 0.1).astype(int), None))
    first, again, other = (
        leaderboard.score(agent, salt=salt, num_tasks=20)["pipes"] for salt in ("a", "a", "b")
    )
    assert first == again
    assert first != other
    assert set(first) == {"held_out", "shifted"}


def test_the_mean_and_its_error_are_those_of_the_games(monkeypatch):
    games = np.arange(12).reshape(2, 6)
    monkeypatch.setattr(leaderboard, "play", lambda *args, **kwargs: games)
    entry = leaderboard.score(Agent("x", None), salt="s", num_tasks=2)
    assert entry["pipes"]["held_out"] == {"0": [3.0, 3.0], "5": [8.0, 3.0]}


def test_every_agent_that_is_scored_is_kept_and_the_best_stands_first(tmp_path, board, capsys):
    for name, code in (("glider.py", GLIDE), ("low.py", FLAP_LOW), ("second.py", GLIDE)):
        file = agent_file(tmp_path, code, name)
        leaderboard.main([str(file), "--salt", "class", "--tasks", "20"])
    lines = capsys.readouterr().out.strip().splitlines()[-5:]
    assert [line.split()[0] for line in lines[:4]] == ["agent", "low", "glider", "second"]
    assert lines[4] == f"3 agents so far, in {board}"
    assert [entry["name"] for entry in json.loads(board.read_text())] == ["glider", "low", "second"]
    assert not list(board.parent.glob("*.draft"))


def test_without_a_salt_the_birds_are_new_each_time(tmp_path, board):
    for _ in range(2):
        leaderboard.main([str(agent_file(tmp_path, GLIDE)), "--tasks", "2"])
    first, second = json.loads(board.read_text())
    assert first["salt"] != second["salt"]


def test_a_saved_agent_is_scored_with_what_it_is_told(tmp_path, board, capsys):
    path = tmp_path / "net.pt"
    generator = torch.Generator().manual_seed(0)
    save_agent(stacked_mlp((9, 4, 2), generator=generator), path, tell=("latency",))
    leaderboard.main([str(path), "--tasks", "3"])
    assert "net (told)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 3\n", "needs a function act"),
        ("act = 3\n", "needs a function act"),
        ("def act(obs):\n    return obs\n", "needs a function act"),
        ("def act(:\n", "cannot be run: .*SyntaxError"),
        ("import sys\nsys.exit(0)\n", "cannot be run: SystemExit.* line 2: sys.exit"),
        ("import nothing_of_the_kind\n", "No module named .nothing_of_the_kind."),
        (GLIDE.replace("0 * begins, memory", "0 * begins"), r"\(actions, memory\), not ndarray"),
        (GLIDE.replace("0 * begins", "0"), r"shape \(3,\), not \(\)"),
        (GLIDE.replace("0 * begins", "obs"), r"shape \(3,\), not \(3, 8\)"),
        (GLIDE.replace("0 * begins", "2 + begins"), "0 or 1"),
        (GLIDE.replace("0 * begins", "begins * float('nan')"), "0 or 1"),
        (GLIDE.replace("0 * begins", "['flap'] * 3"), "0 or 1"),
        (GLIDE.replace("0 * begins", "memory[0]"), "crashed .*TypeError.* line 2: return memory"),
        (GLIDE.replace("0 * begins", "exit()"), "crashed .*SystemExit"),
    ],
)
def test_a_bad_agent_is_told_what_is_wrong_and_costs_nothing(tmp_path, board, code, message):
    leaderboard.main([str(agent_file(tmp_path, GLIDE)), "--tasks", "3"])
    before = board.read_text()
    bad = agent_file(tmp_path, code, "bad.py")
    with pytest.raises(SystemExit, match=f"(?s)board is as it was: .*{message}"):
        leaderboard.main([str(bad), "--tasks", "3"])
    assert board.read_text() == before


def test_files_that_are_no_agents_are_told_so(tmp_path, board):
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    (tmp_path / "agent.txt").write_text(GLIDE)
    for name, message in (
        ("missing.py", "no file"),
        ("agent.txt", "a .py or a .pt file"),
        ("broken.pt", "no agent that save_agent wrote"),
    ):
        with pytest.raises(SystemExit, match=message):
            leaderboard.main([str(tmp_path / name)])
    assert not board.exists()


def test_a_network_for_another_game_is_told_so(tmp_path, board):
    save_agent(stacked_mlp((4, 2)), tmp_path / "pole.pt")
    with pytest.raises(SystemExit, match="pole crashed while it played"):
        leaderboard.main([str(tmp_path / "pole.pt"), "--tasks", "2"])


@pytest.mark.parametrize("text", ["{", "3", '[{"name": "x"}]', "null"])
def test_a_board_that_cannot_be_read_is_left_alone(tmp_path, board, monkeypatch, text):
    monkeypatch.setattr(leaderboard, "score", lambda *args, **kwargs: pytest.fail("too late"))
    board.parent.mkdir(parents=True)
    board.write_text(text)
    with pytest.raises(SystemExit, match="move it away"):
        leaderboard.main([str(agent_file(tmp_path, GLIDE)), "--tasks", "2"])
    assert board.read_text() == text


@pytest.mark.parametrize("options", [["--salt", ""], ["--tasks", "1"], ["--tasks", "-3"]])
def test_options_out_of_range_are_refused(tmp_path, board, options):
    with pytest.raises(SystemExit, match=r"salt must|num_tasks must"):
        leaderboard.main([str(agent_file(tmp_path, GLIDE)), *options])
    assert not board.exists()
