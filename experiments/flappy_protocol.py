"""What all rows of the comparison on Flappy Bird share: hidden birds, episodes, intervals, records.

A learner gathers 0, 1, 2, 5, 10 and 20 episodes of experience in each of the hidden tasks, 20 pipes
at most in each, and is then measured by the pipes that it passes. Each row is written to a file of
its own, `flappy_adaptation_<row>.json` beside this one.
"""

from collections.abc import Callable

import numpy as np
import torch
from report import write_record
from torch import Tensor

from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.rollout import Transitions, step

EPISODES = (0, 1, 2, 5, 10, 20)  # of experience
MAX_PIPES = 20
SPLITS = ("held_out", "shifted")


def hidden_tasks(split: str, num_tasks: int = 100) -> FlappyTasks:
    """Return the tasks on which every row is measured."""
    return sample_tasks(np.random.default_rng(2027), num_tasks, split=split)


def played(
    policy: Callable[[np.ndarray], np.ndarray],
    env: VectorFlappyBird,
    *,
    seed: int,
    visit: Callable[[Transitions, Tensor], None] | None = None,
    who: Tensor | None = None,
    max_decisions: int = 2_000,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pipes and decisions (N,) of one game in each copy of `env`, or only for `who`, (N,).

    `visit` is handed every step's transitions (N,), and whose game it still belonged to, (N,) bool.
    """
    obs = torch.from_numpy(env.reset(seed=seed)[0])
    pipes, decisions = np.zeros((2, env.num_envs))
    playing = torch.ones(env.num_envs, dtype=torch.bool) if who is None else who
    for _ in range(max_decisions):
        if not playing.any():
            break
        transitions, obs = step(env, obs, torch.from_numpy(policy(obs.numpy())))
        if visit:
            visit(transitions, playing)
        i = playing.numpy()
        pipes[i] += transitions.reward.numpy()[i] > 0
        decisions += i
        playing = playing & ~(transitions.terminated | transitions.truncated)
    return pipes, decisions


def summary(pipes: np.ndarray, *, num_resamples: int = 2_000) -> dict:
    """Return mean, 95 % interval and the mean of each seed of pipes (seed, episodes, task).

    The interval is a percentile bootstrap that draws seeds and tasks anew, each with replacement.
    """
    rng = np.random.default_rng(0)
    num_seeds, _, num_tasks = pipes.shape
    means = [
        pipes[rng.integers(num_seeds, size=num_seeds)][
            :, :, rng.integers(num_tasks, size=num_tasks)
        ].mean(axis=(0, 2))
        for _ in range(num_resamples)
    ]
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    columns = {"mean": pipes.mean(axis=(0, 2)), "low": low, "high": high}
    columns = {name: values.round(2).tolist() for name, values in columns.items()}
    return columns | {"by_seed": pipes.mean(axis=2).round(2).tolist()}


def write_row(
    row: str,
    label: str,
    *,
    pipes: dict[str, np.ndarray],
    steps: dict[str, np.ndarray],
    **facts,
) -> None:
    """Write the row's record: `pipes` (seed, episodes, task) and `steps` (episodes,) by split.

    `steps` are the environment steps of experience that a task has given by then, on average.
    """
    record = {
        "row": row,
        "label": label,
        "episodes": EPISODES,
        "max_pipes": MAX_PIPES,
        "pipes": {split: summary(values) for split, values in pipes.items()},
        "steps": {split: np.round(values).tolist() for split, values in steps.items()},
    }
    write_record(f"flappy_adaptation_{row}", record | facts)
