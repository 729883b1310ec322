"""What every environment family offers: a task distribution and an environment per task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np


@dataclass(frozen=True)
class TaskFamily:
    """A task distribution with the environment that runs its tasks.

    `sample_tasks(rng, num_tasks)` draws tasks (an array or a frozen dataclass of arrays, leading
    axis task); `make_env(tasks)` returns a vector environment, one sub-environment per task.
    """

    sample_tasks: Callable[[np.random.Generator, int], Any]
    make_env: Callable[[Any], gym.vector.VectorEnv]
