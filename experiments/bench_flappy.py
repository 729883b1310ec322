"""Speed of our birds, each in its own physics, beside flappy-bird-gymnasium's single environment.

A step of ours is a decision of three frames, a step of theirs is one frame. Both restart finished
games, and run on one thread: seconds are the processor's. The last figure is of pictures of
288 x 512 pixels, without a screen.
"""

import os
import time

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import flappy_bird_gymnasium  # noqa: F401  registers FlappyBird-v0
import gymnasium as gym
import numpy as np
from bench_cartpole import steps_per_second
from report import report

from metarl_lite.envs.flappy import VectorFlappyBird, sample_tasks
from metarl_lite.envs.flappy_game import make_single

FLAPS = 0.06  # the share of frames with a flap
TARGETS = {1_024: 40, 4_096: 55}
PEER_STEPS, PICTURES, REPEATS = 20_000, 500, 7


def single_speed(env: gym.Env, actions: list[int], *, see: bool = False) -> float:
    """Return steps a second of a single environment, or pictures a second where we `see` them."""
    env.reset(seed=0)
    seconds = 0.0
    for action in actions:
        start = time.process_time()
        *_, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
        if see:
            start = time.process_time()
            env.render()
        seconds += time.process_time() - start
    return len(actions) / seconds


def main() -> None:
    """Measure in turn, and report."""
    rng = np.random.default_rng(0)
    flaps = (rng.random(PEER_STEPS) < FLAPS).astype(int).tolist()
    theirs = gym.make("FlappyBird-v0", use_lidar=False).unwrapped
    for num_birds, target in TARGETS.items():
        ours = VectorFlappyBird(sample_tasks(rng, num_birds))
        actions = (rng.random((1_000_000 // num_birds, num_birds)) < 3 * FLAPS).astype(int)
        pairs = [
            (steps_per_second(ours, actions), single_speed(theirs, flaps)) for _ in range(REPEATS)
        ]
        our_speeds, their_speeds = map(list, zip(*pairs, strict=True))
        report(
            f"flappy_{num_birds}",
            f"Flappy Bird, {num_birds:,} birds",
            unit="steps/s",
            target=f"at least {target}",
            ours=our_speeds,
            flappy_bird_gymnasium=their_speeds,
        )
    games = (
        make_single(render_mode="rgb_array"),
        gym.make("FlappyBird-v0", use_lidar=False, render_mode="rgb_array").unwrapped,
    )
    pairs = [[single_speed(game, flaps[:PICTURES], see=True) for game in games] for _ in range(3)]
    our_speeds, their_speeds = map(list, zip(*pairs, strict=True))
    report(
        "flappy_pictures",
        "Flappy Bird, pictures",
        unit="frames/s",
        target="ours at least 250: under 4 ms a frame",
        ours=our_speeds,
        flappy_bird_gymnasium=their_speeds,
    )


if __name__ == "__main__":
    main()
