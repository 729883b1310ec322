"""What the initialisation of `flappy_maml` knows, and what its first update changes.

Two looks at what a flap is worth over a glide: over the height of the gap and the velocity, before
and after the first game in four tasks; and, for a hundred tasks, the height at which the two are
equal, that is where the bird begins to flap. The record is `flappy_initialisation.json` beside this
file.
"""

import argparse
from itertools import islice

import numpy as np
import torch
from flappy_adaptation import best_memoryless
from flappy_maml import SIZES, Learner, course, meta_train
from flappy_protocol import hidden_tasks
from report import write_record
from torch import Tensor

from metarl_lite.algorithms.meta_dqn import q_values
from metarl_lite.envs.flappy import OBSERVATION, FlappyTasks

GAPS = np.arange(-150.0, 151.0, 25.0)  # pixels from the bird up to the middle of the gap, as sensed
VELOCITIES = np.arange(-8.0, 7.0, 2.0)  # pixels a frame, upwards
SLOW_FALL = np.array([-2.0])
FINE = np.arange(-200.0, 201.0, 4.0)
PHYSICS = {  # of the four tasks, the rest standard
    "sensor": np.array([-50.0, 0.0, 50.0, 0.0]),
    "latency": np.array([0, 0, 0, 12]),
}


def sights(gaps: np.ndarray, velocities: np.ndarray) -> Tensor:
    """Return observations (velocity, gap, 8) of a bird 120 pixels before the end of a pipe.

    The gap is one of 126 pixels at the middle height, so a bird that senses it higher is lower.
    """
    velocity, gap = np.meshgrid(velocities, gaps, indexing="ij")
    others = (np.full(gap.shape, x) for x in (30.0, 63.0, 120.0, 320.0))
    since, half, end, next_end = others
    rows = [216 - gap, velocity, since, half, end, gap, next_end, gap]
    units = [unit for _, unit, _ in OBSERVATION]
    return torch.tensor(np.stack(rows, axis=-1) / units, dtype=torch.float32)


def flap_over_glide(theta: Tensor, gaps: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Return q(flap) - q(glide) of each task's network, (task, velocity, gap)."""
    obs = sights(gaps, velocities)
    q = q_values(theta, obs.flatten(0, 1), SIZES)
    return (q[..., 1] - q[..., 0]).unflatten(1, obs.shape[:2]).numpy()


def threshold(theta: Tensor) -> np.ndarray:
    """Return how high above itself, in pixels, each bird must sense a gap to flap, (task,).

    It falls slowly. Where the sign changes more than once, the share of heights decides.
    """
    glides = flap_over_glide(theta, FINE, SLOW_FALL)[:, 0] < 0
    return FINE[0] + glides.mean(axis=1) * (FINE[-1] - FINE[0])


def looks(learner: Learner, *, seed: int) -> dict:
    """Return both looks, as lists."""
    few, many = FlappyTasks(**PHYSICS), hidden_tasks("held_out")
    maps = [
        flap_over_glide(theta, GAPS, VELOCITIES)
        for theta, _ in islice(course(learner, few, seed=seed), 2)
    ]
    thresholds = [threshold(theta) for theta, _ in islice(course(learner, many, seed=seed), 6)]
    return {
        "gaps": GAPS.tolist(),
        "velocities": VELOCITIES.tolist(),
        "physics": {name: values.tolist() for name, values in PHYSICS.items()},
        "before": maps[0][0].round(3).tolist(),
        "after_one_game": maps[1].round(3).tolist(),
        "sensor": many.sensor.round(2).tolist(),
        "latency": many.latency.astype(int).tolist(),
        "threshold": {str(k): thresholds[k].round(1).tolist() for k in (0, 1, 5)},
    }


def main() -> None:
    """Meta-train once and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    learner = meta_train(best_memoryless("told", seed=arguments.seed), seed=arguments.seed)
    write_record(
        "flappy_initialisation",
        {"arguments": vars(arguments), **looks(learner, seed=arguments.seed)},
    )


if __name__ == "__main__":
    main()
