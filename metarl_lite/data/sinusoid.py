"""Sinusoids: regress y = amplitude * sin(x - phase) from a few points (Finn et al. 2017, sec. 5.1).

A task is one sinusoid; its data are points with x uniform on [-5, 5] and no noise.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl_lite.checks import check_count, check_range, real_array

X_RANGE = (-5.0, 5.0)


@dataclass(frozen=True, eq=False)
class Sinusoids:
    """N tasks: `amplitude` (N,) at least 0 and `phase` (N,) in radians."""

    amplitude: np.ndarray
    phase: np.ndarray

    def __post_init__(self) -> None:
        for name in ("amplitude", "phase"):
            object.__setattr__(self, name, real_array(name, getattr(self, name)))
        if self.amplitude.ndim != 1 or self.amplitude.shape != self.phase.shape:
            raise ValueError(
                f"amplitude and phase must both be (N,), got {self.amplitude.shape} "
                f"and {self.phase.shape}"
            )
        if (self.amplitude < 0).any():
            raise ValueError(f"amplitude must be at least 0, got {self.amplitude.min()}")

    def __len__(self) -> int:
        return len(self.amplitude)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return y (N, points) at x, which is (N, points) or (points,)."""
        return self.amplitude[:, None] * np.sin(x - self.phase[:, None])


def sample_tasks(
    rng: np.random.Generator,
    num_tasks: int,
    *,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, np.pi),
) -> Sinusoids:
    """Draw tasks with amplitude and phase uniform on their ranges; the defaults are the paper's."""
    check_count("num_tasks", num_tasks)
    check_range("amplitude", amplitude)
    check_range("phase", phase)
    return Sinusoids(rng.uniform(*amplitude, num_tasks), rng.uniform(*phase, num_tasks))


def sample_points(rng: np.random.Generator, tasks: Sinusoids, num_points: int) -> Tensor:
    """Draw data (task, num_points, 2) float32: on the last axis x and y."""
    check_count("num_points", num_points)
    x = rng.uniform(*X_RANGE, (len(tasks), num_points))
    return torch.from_numpy(np.stack([x, tasks(x)], axis=-1)).float()
