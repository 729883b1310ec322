"""CartPole whose physics are the task (Barto, Sutton & Anderson 1983; Gymnasium's CartPole-v1).

A cart on a rail carries a pole; the agent pushes left or right. Observation: (N, 4) float32,
cart position (m), cart velocity (m/s), pole angle (rad), angular velocity (rad/s). Action: (N,),
0 pushes left and 1 right. Reward: 1 a step. Terminates beyond 2.4 m or 12 degrees, truncates at
`horizon`. One task is one row of `CartPoleTasks`, fixed at construction and never observed.
"""

from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl_lite.checks import check_count, real_array
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.single import SingleEnv

TIME_STEP = 0.02  # seconds
MAX_POSITION = 2.4  # metres
MAX_ANGLE = 12 * 2 * np.pi / 360  # radians
START_RANGE = 0.05  # each state variable starts uniformly within +- this


@dataclass(frozen=True)
class CartPoleTasks:
    """N sets of physics, each field (N,); scalars broadcast. The defaults are CartPole-v1's."""

    gravity: np.ndarray = 9.8  # m/s^2
    mass_cart: np.ndarray = 1.0  # kg
    mass_pole: np.ndarray = 0.1  # kg
    length: np.ndarray = 0.5  # m, half of the pole
    force: np.ndarray = 10.0  # N

    def __post_init__(self) -> None:
        columns = {
            f.name: np.atleast_1d(real_array(f.name, getattr(self, f.name))) for f in fields(self)
        }
        num_tasks = max(map(len, columns.values()))
        for name, column in columns.items():
            if column.ndim != 1 or not len(column) or not (column > 0).all():
                raise ValueError(f"{name} must be one positive number or (N,) of them: {column}")
            if len(column) not in (1, num_tasks):
                sizes = ", ".join(f"{key} {len(values)}" for key, values in columns.items())
                raise ValueError(f"fields must hold one number or as many as each other: {sizes}")
            object.__setattr__(self, name, np.broadcast_to(column, num_tasks))

    def __len__(self) -> int:
        return len(self.gravity)

    def repeat(self, times: int) -> "CartPoleTasks":
        """Return each task `times` times in a row: (N * times) tasks."""
        check_count("times", times)
        return CartPoleTasks(*(np.repeat(getattr(self, f.name), times) for f in fields(self)))


STANDARD = CartPoleTasks()


def sample_tasks(rng: np.random.Generator, num_tasks: int, *, spread: float = 1.5) -> CartPoleTasks:
    """Return physics drawn log-uniformly between 1/`spread` and `spread` times the standard."""
    check_count("num_tasks", num_tasks)
    if not real_array("spread", spread) >= 1:
        raise ValueError(f"spread must be at least 1, got {spread}")
    log = np.log(spread)
    return CartPoleTasks(
        *(
            getattr(STANDARD, f.name) * np.exp(rng.uniform(-log, log, num_tasks))
            for f in fields(STANDARD)
        )
    )


class VectorCartPole(gym.vector.VectorEnv):
    """N cart-poles in lockstep, one per task; a finished one restarts in the same step.

    `infos["final_obs"]` (N, 4) is the observation that each step led to, before any restart.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, tasks: CartPoleTasks = STANDARD, *, horizon: int = 500) -> None:
        if not isinstance(tasks, CartPoleTasks):
            raise ValueError(f"tasks must be CartPoleTasks, not {type(tasks).__name__}")
        check_count("horizon", horizon)
        self.tasks, self.horizon, self.num_envs = tasks, int(horizon), len(tasks)
        unbounded = np.finfo(np.float32).max  # Gymnasium's checker warns of an infinite Box
        high = np.array([2 * MAX_POSITION, unbounded, 2 * MAX_ANGLE, unbounded], dtype=np.float32)
        self.single_observation_space = gym.spaces.Box(-high, high, dtype=np.float32)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._total_mass = tasks.mass_cart + tasks.mass_pole
        self._pole_moment = tasks.mass_pole * tasks.length
        self._state = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return fresh observations (N, 4); `seed` makes the sequence of starts reproducible."""
        super().reset(seed=seed)
        self._state = self._draw_starts(self.num_envs)
        self._t = np.zeros(self.num_envs, dtype=int)
        return self._observe(), {}

    def step(self, actions: np.ndarray):
        """Return observations, rewards, terminations, truncations and infos after one push."""
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before step()")
        actions = np.asarray(actions)
        push_right = actions == 1
        if actions.shape != (self.num_envs,) or not (push_right | (actions == 0)).all():
            raise ValueError(f"actions must be {self.num_envs} zeros or ones: {actions!r}")
        self._state = self._dynamics(self._state, np.where(push_right, 1.0, -1.0))
        self._t += 1
        position, angle = self._state[[0, 2]]
        terminations = (np.abs(position) > MAX_POSITION) | (np.abs(angle) > MAX_ANGLE)
        truncations = self._t >= self.horizon
        final_obs = self._observe()
        done = terminations | truncations
        infos = {"final_obs": final_obs, "_final_obs": done}
        if done.any():
            self._state[:, done] = self._draw_starts(done.sum())
            self._t[done] = 0
        return self._observe(), np.ones(self.num_envs), terminations, truncations, infos

    def _dynamics(self, state: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return the state (4, N) one Euler step later (equations of motion: Florian 2005)."""
        tasks, total_mass = self.tasks, self._total_mass
        _, velocity, angle, spin = state
        cos, sin = np.cos(angle), np.sin(angle)
        drive = (direction * tasks.force + self._pole_moment * spin**2 * sin) / total_mass
        inertia = tasks.length * (4.0 / 3.0 - tasks.mass_pole * cos**2 / total_mass)
        spin_change = (tasks.gravity * sin - cos * drive) / inertia
        acceleration = drive - self._pole_moment * spin_change * cos / total_mass
        return state + TIME_STEP * np.stack([velocity, acceleration, spin, spin_change])

    def _draw_starts(self, count: int) -> np.ndarray:
        return self.np_random.uniform(-START_RANGE, START_RANGE, size=(4, count))

    def _observe(self) -> np.ndarray:
        return self._state.T.astype(np.float32)


def make_vector(
    num_envs: int = 1, *, seed: int | None = None, spread: float = 1.5, horizon: int = 500
) -> VectorCartPole:
    """Return `num_envs` cart-poles whose physics are drawn with `seed`."""
    check_count("num_envs", num_envs)
    tasks = sample_tasks(np.random.default_rng(seed), num_envs, spread=spread)
    return VectorCartPole(tasks, horizon=horizon)


def make_single(*, tasks: CartPoleTasks = STANDARD, horizon: int = 500) -> SingleEnv:
    """Return one cart-pole, by default CartPole-v1's, as a plain Gymnasium environment."""
    return SingleEnv(VectorCartPole(tasks, horizon=horizon))


FAMILY = TaskFamily(sample_tasks, VectorCartPole)
