"""Steps a second of 256 cart-poles, beside Gymnasium's own vector entry point, in turn.

Both run on one thread: seconds are the processor's.
"""

import time

import gymnasium as gym
import numpy as np
from report import report

from metarl_lite.envs.cartpole import STANDARD, VectorCartPole

NUM_ENVS, NUM_STEPS, REPEATS = 256, 5_000, 7


def steps_per_second(env: gym.vector.VectorEnv, actions: np.ndarray) -> float:
    """Return environment steps a second over `actions` (time, env)."""
    env.reset(seed=0)
    start = time.process_time()
    for action in actions:
        env.step(action)
    return actions.size / (time.process_time() - start)


def main() -> None:
    """Measure both, in turn, and report."""
    actions = np.random.default_rng(0).integers(2, size=(NUM_STEPS, NUM_ENVS))
    ours = VectorCartPole(STANDARD.repeat(NUM_ENVS))
    theirs = gym.make_vec("CartPole-v1", num_envs=NUM_ENVS, vectorization_mode="vector_entry_point")
    pairs = [[steps_per_second(env, actions) for env in (ours, theirs)] for _ in range(REPEATS)]
    our_speeds, their_speeds = map(list, zip(*pairs, strict=True))
    report(
        "cartpole",
        f"CartPole, {NUM_ENVS} copies",
        unit="steps/s",
        target="at least 0.7",
        ours=our_speeds,
        gymnasium=their_speeds,
    )


if __name__ == "__main__":
    main()
