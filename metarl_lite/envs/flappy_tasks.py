"""The physics of Flappy Bird as tasks: limits, three splits, and what a network is told of them.

Lengths are pixels of a 288 x 512 screen, y points down, a frame lasts 1/60 s. A player sees gap and
spacing; the rest shows in its consequences only. A wrong altimeter, a wind and a latency call for
another reflex to the same sight, so that no network without memory plays the whole family well:
`experiments/flappy_memoryless.py` measures it.
"""

from dataclasses import dataclass, fields

import numpy as np

from metarl_lite.checks import check_count, real_array

MEMORY = 30  # frames that a command is remembered, at most
VALID = {  # what a task may be
    "gravity": (0.05, 1.5),
    "flap": (1.0, 12.0),
    "speed": (0.5, 8.0),
    "gap": (50.0, 300.0),
    "spacing": (100.0, 288.0),
    "wind": (-2.0, 2.0),
    "latency": (0, MEMORY),
    "sensor": (-100.0, 100.0),
}
TRAINING = {  # the range of the training tasks, and of the held-out ones
    "gravity": (0.3, 0.5),
    "flap": (5.0, 6.5),
    "speed": (2.0, 3.0),
    "gap": (115.0, 140.0),
    "spacing": (180.0, 220.0),
    "wind": (-0.6, 0.6),
    "latency": (0, 12),
    "sensor": (-60.0, 60.0),
}
SHIFTED = {  # (from, to) where it lies beyond TRAINING; wind and sensor on either side of 0
    "gravity": (0.5, 0.6),
    "wind": (0.6, 0.8),
    "latency": (13, 15),
    "sensor": (60.0, 75.0),
}
PHYSICS = tuple(TRAINING)  # the names, in the order of the fields
SPLITS = ("training", "held_out", "shifted")
CELLS = 4  # wind and sensor, each cut into as many parts; a quarter of the cells is held out


@dataclass(frozen=True)
class FlappyTasks:
    """N sets of physics, each field (N,); scalars broadcast. `VALID` holds the limits."""

    gravity: np.ndarray = 0.4  # pixels a frame^2
    flap: np.ndarray = 6.0  # upward velocity after a flap, pixels a frame
    speed: np.ndarray = 2.5  # of the pipes, pixels a frame
    gap: np.ndarray = 125.0  # between the two halves of a pipe, pixels
    spacing: np.ndarray = 200.0  # from pipe to pipe, pixels
    wind: np.ndarray = 0.0  # drift of the air, downwards, pixels a frame
    latency: np.ndarray = 0  # whole frames from a command to its flap
    sensor: np.ndarray = 0.0  # what the altimeter reads too high, pixels

    def __post_init__(self) -> None:
        columns = {
            f.name: np.atleast_1d(real_array(f.name, getattr(self, f.name))) for f in fields(self)
        }
        num_tasks = max(map(len, columns.values()))
        for name, column in columns.items():
            low, high = VALID[name]
            if (
                column.ndim != 1
                or not ((column >= low) & (column <= high)).all()
                or not len(column)
            ):
                raise ValueError(f"{name} must be one number or (N,) in [{low}, {high}]: {column}")
            if len(column) not in (1, num_tasks):
                sizes = ", ".join(f"{key} {len(values)}" for key, values in columns.items())
                raise ValueError(f"fields must hold one number or as many as each other: {sizes}")
            object.__setattr__(self, name, np.broadcast_to(column, num_tasks))
        if (self.latency % 1 != 0).any():
            raise ValueError(f"latency must be whole frames, got {self.latency}")

    def __len__(self) -> int:
        return len(self.gravity)

    def __getitem__(self, index: int | slice | np.ndarray) -> "FlappyTasks":
        """Return the tasks at `index`, in a FlappyTasks of their own."""
        return FlappyTasks(*(getattr(self, f.name)[index] for f in fields(self)))

    def repeat(self, times: int) -> "FlappyTasks":
        """Return each task `times` times in a row: (N * times) tasks."""
        check_count("times", times)
        return FlappyTasks(*(np.repeat(getattr(self, f.name), times) for f in fields(self)))


STANDARD = FlappyTasks()


def sample_tasks(
    rng: np.random.Generator, num_tasks: int, *, split: str = "training"
) -> FlappyTasks:
    """Return physics drawn uniformly from the range of `split`.

    "training" and "held_out" share the range `TRAINING` and no task: of the CELLS x CELLS
    combinations of wind and sensor, a quarter, one in each row and column, is held out. "shifted"
    has gravity, wind, latency and sensor beyond what training ever shows, as `SHIFTED` says.
    """
    check_count("num_tasks", num_tasks)
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    ranges = TRAINING | (SHIFTED if split == "shifted" else {})
    unit = rng.random((len(ranges), num_tasks))
    sides = rng.choice([-1.0, 1.0], size=(2, num_tasks))
    names = list(ranges)
    rows = [names.index(name) for name in ("wind", "sensor")]
    if split != "shifted":
        unit[rows] = _draw_cells(rng, num_tasks, held_out=split == "held_out")
    columns = {}
    for (name, (low, high)), u in zip(ranges.items(), unit, strict=True):
        whole = name == "latency"
        columns[name] = np.floor(low + (high - low + 1) * u) if whole else low + (high - low) * u
    if split == "shifted":
        columns |= {"wind": columns["wind"] * sides[0], "sensor": columns["sensor"] * sides[1]}
    return FlappyTasks(**columns)


def _draw_cells(rng: np.random.Generator, num_tasks: int, *, held_out: bool) -> np.ndarray:
    """Return (2, num_tasks) places of wind and sensor in [0, 1), held out or not."""
    first = rng.integers(CELLS, size=num_tasks)
    step = 0 if held_out else rng.integers(1, CELLS, size=num_tasks)
    cells = np.stack([first, (first + step) % CELLS])  # the diagonal is held out
    return (cells + rng.random((2, num_tasks))) / CELLS


def told(tasks: FlappyTasks, names: tuple[str, ...] = PHYSICS) -> np.ndarray:
    """Return the physics called `names`, (N, names), each -1 to 1 over the training range."""
    values = [_scaled(name, getattr(tasks, name)) for name in names]
    return np.stack(values, axis=-1) if values else np.zeros((len(tasks), 0))


def told_limits(names: tuple[str, ...]) -> np.ndarray:
    """Return (names, 2): between which the numbers of `told` lie, for any valid physics."""
    unknown = [name for name in names if name not in PHYSICS]
    if unknown:
        raise ValueError(f"tell must name some of {', '.join(PHYSICS)}, not {unknown}")
    return np.array([_scaled(name, np.array(VALID[name])) for name in names]).reshape(-1, 2)


def _scaled(name: str, values: np.ndarray) -> np.ndarray:
    low, high = TRAINING[name]
    return (2 * values - low - high) / (high - low)
