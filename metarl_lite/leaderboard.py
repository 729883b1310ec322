"""Score an agent on hidden birds: `python -m metarl_lite.leaderboard FILE`.

FILE is an agent that `flappy_agent.save_agent` wrote, or Python with a function

    def act(obs, reward, begins, memory):
        return actions, memory

as `flappy_agent` describes it. Every bird has physics of its own, which nobody tells, and plays six
games in them. The first is scored, played without experience, and the sixth, after five games of
it. Which birds come follows from the salt.
"""

import argparse
import hashlib
import inspect
import json
import os
import secrets
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from metarl_lite.checks import check_count
from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.flappy_agent import Act, load_agent

BOARD = Path("_build/flappy_leaderboard.json")
SPLITS, SCORED = ("held_out", "shifted"), (0, 5)  # physics, and games of experience
MAX_PIPES = 20
CALL = "act(obs, reward, begins, memory)"


class Agent(NamedTuple):
    """Who is scored: a name, the function `act`, the physics it is told, and where it stands."""

    name: str
    act: Act
    tell: tuple[str, ...] = ()
    source: str = ""


def read_agent(path: Path) -> Agent:
    """Return the agent in a file; ValueError saying what is wrong with the file."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix == ".pt":
        return Agent(path.stem, *load_agent(path))
    if path.suffix != ".py":
        raise ValueError(f"an agent is a .py or a .pt file, not {path.name}")
    spec = spec_from_file_location("agent", path)
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path.name} cannot be run: {_told(error, spec.origin)}") from error
    act = getattr(module, "act", None)
    try:
        inspect.signature(act).bind(*range(4))
    except TypeError as error:
        raise ValueError(f"{path.name} needs a function {CALL}") from error
    return Agent(path.stem, act, source=spec.origin)


def play(
    agent: Agent, tasks: FlappyTasks, *, seed: int, num_games: int = 6, max_pipes: int = MAX_PIPES
) -> np.ndarray:
    """Return the pipes (task, game) of `num_games` games in a row in each task.

    ValueError where the agent crashes, or returns anything but zeros and ones for all birds.
    """
    check_count("num_games", num_games)
    env = VectorFlappyBird(tasks, max_pipes=max_pipes, tell=agent.tell)
    n, memory = env.num_envs, None
    obs, reward, begins = env.reset(seed=seed)[0], np.zeros(n), np.ones(n, dtype=bool)
    pipes, games = np.zeros((n, num_games), dtype=int), np.zeros(n, dtype=int)
    with tqdm(total=n * num_games, desc=f"{agent.name} plays", leave=False) as bar:
        while (games < num_games).any():
            actions, memory = _decide(agent, obs, reward, begins, memory)
            obs, reward, terminated, truncated, infos = env.step(actions)
            begins = terminated | truncated
            counted = begins & (games < num_games)
            pipes[counted, games[counted]] = infos["score"][counted]
            games += begins
            bar.update(int(counted.sum()))
    return pipes


def score(agent: Agent, *, salt: str, num_tasks: int = 100) -> dict:
    """Return the agent's entry: mean pipes and standard errors by split and games of experience."""
    check_count("num_tasks", num_tasks, least=2)
    if not isinstance(salt, str) or not salt:
        raise ValueError(f"salt must be a word, got {salt!r}")
    pipes = {}
    for split in SPLITS:
        seed = int.from_bytes(hashlib.sha256(f"{salt} {split}".encode()).digest()[:8], "big")
        tasks = sample_tasks(np.random.default_rng(seed), num_tasks, split=split)
        games = play(agent, tasks, seed=seed, num_games=max(SCORED) + 1)[:, SCORED]
        error = games.std(axis=0, ddof=1) / num_tasks**0.5
        rows = zip(SCORED, games.mean(axis=0), error, strict=True)
        pipes[split] = {str(k): [round(mean, 3), round(se, 3)] for k, mean, se in rows}
    facts = {"name": agent.name, "told": list(agent.tell), "salt": salt, "tasks": num_tasks}
    return facts | {"pipes": pipes}


def read_board(path: Path = BOARD) -> list[dict]:
    """Return all entries so far; ValueError, and the file is left alone, where it is none."""
    if not path.exists():
        return []
    try:
        entries = json.loads(path.read_text())
        table(entries)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} holds no leaderboard; move it away: {error!r}") from error
    return entries


def write_board(entries: list[dict], path: Path = BOARD) -> None:
    """Write all entries, in one stroke: a file half written is never left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(entries, indent=1) + "\n")
    os.replace(draft, path)


def table(entries: list[dict]) -> str:
    """Return the board as text, the best after five games of held-out physics first."""
    columns = [(split, k) for split in SPLITS for k in SCORED]
    heads = [f"{split.replace('_', ' ')}, {k} games" for split, k in columns]
    lines = [" ".join(["agent".ljust(24), *(head.rjust(18) for head in heads), "  salt"])]
    for entry in sorted(entries, key=lambda e: -e["pipes"]["held_out"][str(max(SCORED))][0]):
        cells = [entry["pipes"][split][str(k)] for split, k in columns]
        name = entry["name"] + (" (told)" if entry["told"] else "")
        words = [f"{mean:.2f} ± {1.96 * error:.2f}".rjust(18) for mean, error in cells]
        lines.append(" ".join([name[:24].ljust(24), *words, f"  {entry['salt']}"]))
    return "\n".join(lines)


def _decide(agent: Agent, obs, reward, begins, memory: Any) -> tuple[np.ndarray, Any]:
    """Return the actions (N,) and memory of the agent, once they are what they should be."""
    try:
        answer = agent.act(obs, reward, begins, memory)
    except (Exception, SystemExit) as error:
        words = _told(error, agent.source)
        raise ValueError(f"{agent.name} crashed while it played: {words}") from error
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ValueError(f"{CALL} must return (actions, memory), not {type(answer).__name__}")
    actions = np.asarray(answer[0])
    if actions.shape != (len(obs),):
        raise ValueError(f"the actions must have shape ({len(obs)},), not {actions.shape}")
    if not np.isin(actions, (0, 1)).all():
        raise ValueError(f"an action is 0 or 1, and {agent.name} returned {actions}")
    return actions, answer[1]


def _told(error: BaseException, source: str) -> str:
    """Return an exception's type and message, and the agent's own line where it arose."""
    words = "".join(traceback.format_exception_only(error)).strip()
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == source]
    return words + (f", in line {own[-1].lineno}: {own[-1].line}" if own else "")


def main(arguments: list[str] | None = None) -> None:
    """Score the agent, print the board with it and keep it; SystemExit says what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m metarl_lite.leaderboard", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, help="the agent: a .py or a .pt file")
    parser.add_argument("--salt", help="a word that draws the birds; at random if not given")
    parser.add_argument("--tasks", type=int, default=100, help="birds of each kind")
    options = parser.parse_args(arguments)
    try:
        read_board(BOARD)  # before any play: a board that cannot be read stays as it is
        salt = secrets.token_hex(4) if options.salt is None else options.salt
        entry = score(read_agent(options.file), salt=salt, num_tasks=options.tasks)
        entries = [*read_board(BOARD), entry]  # again: another agent may have been scored meanwhile
    except ValueError as error:
        raise SystemExit(f"Nothing was scored, and the board is as it was: {error}") from error
    write_board(entries, BOARD)
    print(f"{table(entries)}\n{len(entries)} agents so far, in {BOARD}")


if __name__ == "__main__":
    main(sys.argv[1:])
