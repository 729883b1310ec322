"""The learners by gradients of `flappy_adaptation`, with as many steps as the best learner has.

A bird that crashes early gives little experience in twenty games. Here every task goes on until it
has given STEPS decisions, however many games that takes, and is measured at each of these numbers
with what it had learned then: held-out birds only. `python flappy_equal_steps.py --row NAME` writes
`flappy_equal_steps_<row>.json` beside this file.
"""

import argparse

import numpy as np
import torch
from flappy_adaptation import GAMES, LOOPS, MAX_PIPES, ROWS, course, greedy, start_of
from flappy_protocol import hidden_tasks, played, summary
from report import write_record
from torch import Tensor

from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird

STEPS = (0, 500, 1_000, 2_500, 5_000, 10_000)  # what the student has given in 0 to 20 games


def weights_after(row: str, tasks: FlappyTasks, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return theta (step, task, D) and games (step, task) when a task first had STEPS."""
    theta, optimizer = start_of(row, seed=seed)
    courses = course(theta, optimizer, tasks, LOOPS[row], seed=seed, max_steps=max(STEPS))
    needed = torch.tensor(STEPS)[:, None]
    for number, (now, steps) in enumerate(courses):
        if number == 0:
            kept = torch.zeros(len(STEPS), *now.shape)
            games = torch.full(kept.shape[:2], -1)
        arrived = (steps >= needed) & (games < 0)
        kept, games = torch.where(arrived[..., None], now, kept), games.masked_fill(arrived, number)
        if (games >= 0).all():
            return kept, games


def main() -> None:
    """Measure one row for every seed, and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", choices=LOOPS, required=True)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tasks = hidden_tasks("held_out")
    env = VectorFlappyBird(tasks.repeat(GAMES), max_pipes=MAX_PIPES)
    pipes, games = [], []
    for seed in range(arguments.seed, arguments.seed + arguments.num_seeds):
        kept, number = weights_after(arguments.row, tasks, seed=seed)
        passed = [
            played(greedy(theta, LOOPS[arguments.row].hidden), env, seed=1_000 + k)[0]
            for k, theta in enumerate(kept)
        ]
        pipes.append([values.reshape(-1, GAMES).mean(axis=1) for values in passed])
        games.append(number.float().mean(dim=1).tolist())
        print(arguments.row, seed, np.mean(pipes[-1], axis=1), games[-1], flush=True)
    record = {
        "row": arguments.row,
        "label": ROWS[arguments.row],
        "arguments": vars(arguments),
        "steps": STEPS,
        "pipes": {"held_out": summary(np.array(pipes))},
        "games": np.mean(games, axis=0).round(1).tolist(),
    }
    write_record(f"flappy_equal_steps_{arguments.row}", record)


if __name__ == "__main__":
    main()
