"""One Flappy Bird as a plain Gymnasium environment, with pictures; and the makers of the ids."""

import os

import gymnasium as gym
import numpy as np

from metarl_lite.checks import check_count
from metarl_lite.envs.flappy import HEIGHT, WIDTH, VectorFlappyBird
from metarl_lite.envs.flappy_tasks import STANDARD, FlappyTasks, sample_tasks
from metarl_lite.envs.single import SingleEnv

FPS = 60  # frames a second


class FlappyBird(SingleEnv):
    """One bird; `render_mode` "rgb_array" gives pictures (512, 288, 3), "human" opens a window.

    The window shows every frame, 60 a second; a picture is of the last frame of a decision. Infos
    hold the score.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": FPS}  # noqa: RUF012

    def __init__(self, vector_env: VectorFlappyBird, *, render_mode: str | None = None) -> None:
        super().__init__(vector_env)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be None, human or rgb_array, got {render_mode!r}")
        self.render_mode, self._window = render_mode, None
        if render_mode == "human":
            vector_env.on_frame = self._show
        else:  # a film of decisions runs at their pace
            self.metadata = self.metadata | {"render_fps": FPS // vector_env.frame_skip}

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return the first observation of a new game and its score, 0."""
        obs, _ = super().reset(seed=seed, options=options)
        if self.render_mode == "human":
            self._show()
        return obs, {"score": 0}

    def step(self, action):
        """Return (obs, reward, terminated, truncated, info) of one decision."""
        *outcome, _ = super().step(action)
        return *outcome, {"score": self.vector_env.scene().score}

    def render(self) -> np.ndarray | None:
        """Return the picture (512, 288, 3) of "rgb_array"; a "human" window shows itself."""
        if self.render_mode is None:
            gym.logger.warn("nothing is drawn: make the environment with a render_mode")
        if self.render_mode != "rgb_array":
            return None
        return _render().picture(self.vector_env.scene())

    def close(self) -> None:
        """Close the window, where there is one."""
        super().close()
        if self._window:
            import pygame

            pygame.display.quit()
            self._window = None

    def _show(self) -> None:
        """Draw this frame in the window, no sooner than 1/60 s after the last."""
        render = _render()
        import pygame

        if self._window is None:
            pygame.display.init()
            self._window = pygame.display.set_mode((WIDTH, HEIGHT))
            pygame.display.set_caption("Flappy Bird")
            self._clock = pygame.time.Clock()
        pygame.event.pump()
        render.draw(self._window, self.vector_env.scene())
        pygame.display.flip()
        self._clock.tick(FPS)


def _render():
    """Return the module that draws: pygame is imported where somebody looks, and says nothing."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from metarl_lite.envs import flappy_render

    return flappy_render


def make_vector(
    num_envs: int = 1, *, seed: int | None = None, split: str = "training", **settings
) -> VectorFlappyBird:
    """Return `num_envs` birds whose physics are drawn with `seed`; keywords of VectorFlappyBird."""
    check_count("num_envs", num_envs)
    tasks = sample_tasks(np.random.default_rng(seed), num_envs, split=split)
    return VectorFlappyBird(tasks, **settings)


def make_single(
    *, tasks: FlappyTasks = STANDARD, render_mode: str | None = None, **settings
) -> FlappyBird:
    """Return one bird, by default in the standard physics; keywords as for VectorFlappyBird."""
    return FlappyBird(VectorFlappyBird(tasks, autoreset=False, **settings), render_mode=render_mode)
