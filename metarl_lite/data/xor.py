"""The sixteen Boolean functions of two inputs, as a family of tasks with noisy inputs.

A task is a truth table (4,) of the corners (0, 0), (0, 1), (1, 0), (1, 1). A point is a corner
drawn at random, its two coordinates mapped to -1 and 1, plus normal noise; its label is the table's
entry, mapped to -1 and 1 too.
"""

import numpy as np
import torch
from torch import Tensor

from metarl_lite.checks import check_count, is_not_negative, real_array

CORNERS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
TABLES = (np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1  # (16, 4): row i is i in binary
XOR, XNOR = 6, 9  # 0110 and 1001: the two that no linear function separates
OTHERS = np.setdiff1d(np.arange(16), [XOR, XNOR])  # what meta-training may see


def sample_tasks(
    rng: np.random.Generator, num_tasks: int, *, functions: np.ndarray = OTHERS
) -> np.ndarray:
    """Draw truth tables (num_tasks, 4) uniformly from `functions`, indices into TABLES."""
    check_count("num_tasks", num_tasks)
    functions = np.asarray(functions)
    if functions.ndim != 1 or functions.size == 0 or not np.isin(functions, np.arange(16)).all():
        raise ValueError(f"functions must be indices from 0 to 15, got {functions.tolist()}")
    return TABLES[functions[rng.integers(len(functions), size=num_tasks)]]


def sample_points(
    rng: np.random.Generator, tables: np.ndarray, num_points: int, *, noise: float = 0.3
) -> Tensor:
    """Draw data (task, num_points, 3) float32: on the last axis two inputs and the label, +-1.

    Corners come equally often, or nearly, in a random order: four points show each of them.
    """
    check_count("num_points", num_points)
    tables = np.asarray(tables)
    if tables.ndim != 2 or tables.shape[1] != 4 or not np.isin(tables, (0, 1)).all():
        raise ValueError(f"tables must be (task, 4) of 0 and 1, got shape {tables.shape}")
    if not is_not_negative(real_array("noise", noise)):
        raise ValueError(f"noise must be at least 0, got {noise}")
    shape = len(tables), num_points
    corner = rng.permuted(np.tile(np.arange(num_points) % 4, (len(tables), 1)), axis=1)
    x = 2.0 * CORNERS[corner] - 1 + noise * rng.normal(size=(*shape, 2))
    y = 2.0 * np.take_along_axis(tables, corner, axis=1) - 1
    return torch.from_numpy(np.concatenate([x, y[..., None]], axis=-1)).float()
