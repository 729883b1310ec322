"""SingleEnv: a vector environment of one copy as a plain Gymnasium environment.

So that anybody's agent and Gymnasium's own checker can use the book's environments unchanged.
"""

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode


class SingleEnv(gym.Env):
    """The one copy of `vector_env`, which may reset itself in the same step or not at all.

    The observation returned at an episode's end is that episode's last; `reset` must follow.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, vector_env: gym.vector.VectorEnv) -> None:
        if not isinstance(vector_env, gym.vector.VectorEnv):
            raise ValueError(f"vector_env must be a vector environment, got {vector_env!r}")
        mode = vector_env.metadata["autoreset_mode"]
        if vector_env.num_envs != 1:
            raise ValueError(f"vector_env must hold one copy, got num_envs={vector_env.num_envs}")
        if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            raise ValueError(f"autoreset_mode must be SAME_STEP or DISABLED, got {mode}")
        self.vector_env = vector_env
        self.observation_space = vector_env.single_observation_space
        self.action_space = vector_env.single_action_space
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Return the first observation and infos; `seed` as in Gymnasium."""
        super().reset(seed=seed)
        self.vector_env.np_random = self.np_random  # one generator, seeded once
        obs, _ = self.vector_env.reset(options=options)
        self._running = True
        return obs[0], {}

    def step(self, action):
        """Return (obs, reward, terminated, truncated, info) of the one copy."""
        if not self._running:
            raise gym.error.ResetNeeded("the episode has not begun or is over: call reset()")
        obs, reward, terminated, truncated, info = self.vector_env.step(np.asarray(action)[None])
        self._running = not (terminated[0] or truncated[0])
        next_obs = info.get("final_obs", obs)[0]
        return next_obs, float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def close(self) -> None:
        """Close the vector environment."""
        self.vector_env.close()
