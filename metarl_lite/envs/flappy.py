"""Flappy Bird, N birds in lockstep, each in physics of its own; the rules of the book's project.

A bird at a fixed x falls; a flap throws it up; pipes with a gap come from the right. Lengths are
pixels of a 288 x 512 screen, y points down, a frame lasts 1/60 s. One decision lasts `frame_skip`
frames, 3 unless said otherwise: 20 decisions a second. Every frame, in this order,

    a command to flap, given with the first frame of a decision, arrives if it is `latency` old;
    velocity <- -flap if one arrives, else min(velocity + gravity, MAX_FALL);
    y <- y + velocity + wind, between the top of the screen and the ground;
    the pipes move left by speed.

A bird crashes where it touches a pipe or the ground; the top of the screen only stops it. Every
game begins at one height, at rest, with pipes drawn anew.

Observation: (N, 8) float32, normalised, upwards positive, as `OBSERVATION` lists. Heights are what
the altimeter says, true height plus the task's `sensor`. Action: (N,), 0 glides and 1 flaps.
Reward: 1 for each pipe passed (their number is the score), -1 for a crash. Terminates at a crash,
truncates after `max_pipes` pipes.
"""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl_lite.checks import check_count
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.flappy_tasks import (
    STANDARD,
    FlappyTasks,
    sample_tasks,
    told,
    told_limits,
)

WIDTH, HEIGHT, GROUND = 288, 512, 432  # pixels; the ground begins at y = GROUND
BIRD_X, RADIUS = 72, 11  # of the bird's middle; half of the square of it that must not touch
FLOOR = GROUND - RADIUS  # the bird's lowest y
PIPE_WIDTH, REACH = 52, 26 + RADIUS  # REACH: bird and pipe overlap with middles closer than this
START_Y, START_X = 216.0, 280.0  # where a game begins: the bird's y, and the first pipe ahead of it
MIDDLE, SWING = 216.0, 75.0  # the middle of a gap lies uniformly within MIDDLE +- SWING
MAX_FALL = 9.0  # pixels a frame, through the air
MAX_SINCE = 60  # frames after which a command is forgotten by the observation

OBSERVATION = (  # what each number is, how many pixels or frames count as 1, and its limits in them
    ("height of the bird above the ground, as sensed", GROUND, (-100, GROUND + 100)),
    ("velocity of the bird through the air", 10, (-MAX_FALL, 12)),
    ("frames since the last command to flap", MAX_SINCE, (0, MAX_SINCE)),
    ("half the gap", 100, (0, 150)),
    ("distance to the far end of the next pipe", WIDTH, (-100, 400)),
    ("height of its gap above the bird, as sensed", 100, (-400, 400)),
    ("distance to the far end of the pipe after it", WIDTH, (0, 700)),
    ("height of that gap above the bird, as sensed", 100, (-400, 400)),
)
_UNIT = np.array([unit for _, unit, _ in OBSERVATION], dtype=float)
_LIMITS = np.array([limits for *_, limits in OBSERVATION]) / _UNIT[:, None]


@dataclass(frozen=True)
class Scene:
    """What a picture of one bird needs; places in pixels of the screen."""

    y: float
    velocity: float  # through the air, downwards, pixels a frame
    since_flap: float  # frames since the wings last beat
    pipes: tuple[tuple[float, float], ...]  # (x, y) of the middle of each gap
    gap: float
    travelled: float  # pixels since the game began
    score: int
    crashed: bool


class VectorFlappyBird(gym.vector.VectorEnv):
    """N birds in lockstep, each in the physics of its own task.

    With `autoreset`, a finished bird restarts in the same step, and `infos["final_obs"]` (N, 8) is
    the observation that each step led to, before any restart; without, `reset` must follow the
    first end. `infos["score"]` (N,) counts the pipes of the game that the step belongs to. An
    observation goes on with the physics that `tell` names, as numbers of `told`.
    """

    def __init__(
        self,
        tasks: FlappyTasks = STANDARD,
        *,
        frame_skip: int = 3,
        max_pipes: int = 100,
        tell: tuple[str, ...] = (),
        autoreset: bool = True,
    ) -> None:
        if not isinstance(tasks, FlappyTasks):
            raise ValueError(f"tasks must be FlappyTasks, not {type(tasks).__name__}")
        check_count("frame_skip", frame_skip)
        check_count("max_pipes", max_pipes)
        if frame_skip > 10:  # no two pipes may pass in one decision
            raise ValueError(f"frame_skip must be at most 10, got {frame_skip}")
        self.tasks, self.num_envs = tasks, len(tasks)
        self.frame_skip, self.max_pipes, self.autoreset = int(frame_skip), int(max_pipes), autoreset
        mode = AutoresetMode.SAME_STEP if autoreset else AutoresetMode.DISABLED
        self.metadata = {"autoreset_mode": mode}
        low, high = np.concatenate([_LIMITS, told_limits(tell)]).astype(np.float32).T
        self.single_observation_space = gym.spaces.Box(low, high)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._told = told(tasks, tell)
        # Prepared for the frames. Two rows: the bird's y, and the next pipe's middle ahead of it.
        self._room = np.stack([tasks.gap / 2 - RADIUS, np.full(self.num_envs, float(REACH))])
        self._lift, self._max_fall = tasks.wind - tasks.flap, tasks.wind + MAX_FALL
        self._arrives = np.left_shift(np.uint32(1), tasks.latency.astype(np.uint32))
        self.on_frame = None  # called after every frame: how a window shows all of them
        self._at = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return the first observations (N, 8) of new games; `seed` brings their pipes again."""
        super().reset(seed=seed)
        n = self.num_envs
        self._at = np.zeros((2, n))  # the bird's y, and the next pipe's middle ahead of it
        self._motion = np.stack([np.zeros(n), -self.tasks.speed])  # pixels a frame, with the wind
        self._gaps = np.zeros((4, n))  # middles of the gaps: behind, next, and the two after it
        self._aim = np.zeros((2, n))  # the next gap's middle, and 0: where pipe and bird meet
        self._commands = np.zeros(n, dtype=np.uint32)  # bit i: a command i frames ago
        self._since, self._score = np.zeros(n), np.zeros(n, dtype=np.int64)
        self._crashed, self._over = np.zeros(n, dtype=bool), False
        self._restart(np.arange(n))
        return self._observe(), {"score": self._score.copy()}

    def step(self, actions: np.ndarray):
        """Return observations, rewards, terminations, truncations and infos of one decision."""
        if self._at is None or self._over:
            raise gym.error.ResetNeeded("no game is running: call reset() before step()")
        actions = np.asarray(actions)
        flaps = actions == 1
        if actions.shape != (self.num_envs,) or not (flaps | (actions == 0)).all():
            raise ValueError(f"actions must be {self.num_envs} zeros or ones: {actions!r}")
        self._since[flaps] = 0
        self._crashed = np.zeros(self.num_envs, dtype=bool)
        for frame in range(self.frame_skip):
            self._crashed |= self._move(flaps if frame == 0 else None)
            if self.on_frame:
                self.on_frame()
        passed = self._pass_pipes()
        rewards = passed.astype(np.float64) - self._crashed
        terminations, truncations = self._crashed.copy(), self._score >= self.max_pipes
        done, obs, infos = terminations | truncations, self._observe(), {}
        infos["score"] = self._score.copy()
        self._over = not self.autoreset and bool(done.any())
        if self.autoreset:
            infos |= {"final_obs": obs, "_final_obs": done}
            self._restart(done.nonzero()[0])
            obs = self._observe()
        return obs, rewards, terminations, truncations, infos

    def scene(self, index: int = 0) -> Scene:
        """Return what a picture of bird `index` shows now."""
        if self._at is None:
            raise gym.error.ResetNeeded("there is nothing to see yet: call reset()")
        task, (y, ahead) = self.tasks[[index]], self._at[:, index]
        spacing, score = float(task.spacing[0]), int(self._score[index])
        places = BIRD_X + ahead + spacing * np.arange(-1, 3)
        gone = slice(0 if score else 1, None)  # nothing is behind the first pipe
        return Scene(
            y=float(y),
            velocity=float(self._motion[0, index] - task.wind[0]),
            since_flap=float(self._since[index] - task.latency[0]),
            pipes=tuple(zip(places[gone].tolist(), self._gaps[gone, index].tolist(), strict=True)),
            gap=float(task.gap[0]),
            travelled=float(START_X + score * spacing - ahead),
            score=score,
            crashed=bool(self._crashed[index]),
        )

    def _move(self, flaps: np.ndarray | None) -> np.ndarray:
        """Move everything by one frame; return which birds touch something, (N,) bool."""
        velocity, y = self._motion[0], self._at[0]
        self._commands <<= 1
        if flaps is not None:
            self._commands |= flaps
        velocity += self.tasks.gravity
        np.minimum(velocity, self._max_fall, out=velocity)
        np.copyto(velocity, self._lift, where=(self._commands & self._arrives).astype(bool))
        self._at += self._motion
        np.maximum(y, RADIUS, out=y)
        np.minimum(y, FLOOR, out=y)
        self._since += 1
        in_gap, at_pipe = np.abs(self._at - self._aim) < self._room
        return (at_pipe & ~in_gap) | (y == FLOOR)

    def _pass_pipes(self) -> np.ndarray:
        """Turn to the next pipe where one lies behind; return which birds scored, (N,) bool."""
        passed = (self._at[1] <= -REACH) & ~self._crashed
        index = passed.nonzero()[0]
        self._gaps[:3, index] = self._gaps[1:, index]
        self._gaps[3, index] = self._draw_gaps(len(index))
        self._aim[0, index] = self._gaps[1, index]
        self._at[1, index] += self.tasks.spacing[index]
        self._score[index] += 1
        return passed

    def _restart(self, index: np.ndarray) -> None:
        """Begin new games for the birds in `index`."""
        self._at[:, index] = [[START_Y], [START_X]]
        self._motion[0, index] = self.tasks.wind[index]  # at rest in the air
        self._gaps[:, index] = self._draw_gaps((4, len(index)))
        self._aim[0, index] = self._gaps[1, index]
        self._commands[index], self._since[index], self._score[index] = 0, MAX_SINCE, 0
        self._crashed[index] = False

    def _draw_gaps(self, size: int | tuple[int, int]) -> np.ndarray:
        return self.np_random.uniform(MIDDLE - SWING, MIDDLE + SWING, size)

    def _observe(self) -> np.ndarray:
        """Return fresh observations, (N, 8) and what `tell` names."""
        tasks, (y, ahead) = self.tasks, self._at
        sensed, far_end = y - tasks.sensor, ahead + REACH
        rows = (
            GROUND - sensed,
            tasks.wind - self._motion[0],
            np.minimum(self._since, MAX_SINCE),
            tasks.gap / 2,
            far_end,
            sensed - self._gaps[1],
            far_end + tasks.spacing,
            sensed - self._gaps[2],
        )
        obs = np.empty((self.num_envs, len(rows) + self._told.shape[1]), dtype=np.float32)
        for i, (row, unit) in enumerate(zip(rows, _UNIT, strict=True)):
            np.divide(row, unit, out=obs[:, i], casting="same_kind")
        obs[:, len(rows) :] = self._told
        return obs


FAMILY = TaskFamily(sample_tasks, VectorFlappyBird)
