"""What all rows of the comparison on Flappy Bird share: hidden birds, episodes, intervals, records.

A learner gathers 0, 1, 2, 5, 10 and 20 episodes of experience in each of the hidden tasks, 20 pipes
at most in each, and is then measured by the pipes that it passes. Each row is written to a file of
its own, `flappy_adaptation_<row>.json` beside this one.
"""

import numpy as np
from report import write_record

from metarl_lite.envs.flappy import FlappyTasks, sample_tasks

EPISODES = (0, 1, 2, 5, 10, 20)  # of experience
MAX_PIPES = 20
SPLITS = ("held_out", "shifted")


def hidden_tasks(split: str, num_tasks: int = 100) -> FlappyTasks:
    """Return the tasks on which every row is measured."""
    return sample_tasks(np.random.default_rng(2027), num_tasks, split=split)


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
