"""Seconds until DQN balances CartPole-v1, beside Stable-Baselines3; and what eight seeds cost.

Solved: three evaluations in a row, one every 2,500 environment steps, of 100 greedy episodes each
with a mean of at least 475. Evaluations are not timed. Stable-Baselines3 runs the RL Zoo's settings
for CartPole-v1 (Raffin 2020). A run that has not solved it by its last step counts as infinite.
"""

import argparse
import math
import time
from collections.abc import Iterator

import gymnasium as gym
import torch
from poles import make_poles
from report import report
from stable_baselines3 import DQN
from stopwatch import Stopwatch, StopWhenSolved
from tqdm import tqdm

from metarl_lite.algorithms.dqn import DQNConfig, learn
from metarl_lite.rollout import greedy_policy

EVALUATE_EVERY = 2_500
ENVS_PER_SEED = 16
# Slower to change than the defaults, which serve a choice among four: one seed must hold its level.
CONFIG = DQNConfig(total_steps=50_000, target_every=50, final_lr=1e-4)
ZOO_STEPS = 100_000  # the Zoo stops at 50,000; twice that, so that a late success still counts
ZOO = {
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 1_000,
    "gamma": 0.99,
    "target_update_interval": 10,
    "train_freq": 256,
    "gradient_steps": 128,
    "exploration_fraction": 0.16 * 50_000 / ZOO_STEPS,  # the same 8,000 steps
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [256, 256]},
}


def our_seconds(seed: int) -> float:
    """Return the training time until solved of our DQN, one seed."""
    stopwatch = Stopwatch()
    for snapshot in snapshots(seed=seed, num_seeds=1, config=CONFIG):
        if stopwatch.evaluate(greedy_policy(snapshot.net), snapshot.step):
            return stopwatch.seconds
    return math.inf


def snapshots(*, seed: int, num_seeds: int, config: DQNConfig) -> Iterator:
    """Return the training run of `num_seeds` seeds on standard cart-poles."""
    env = make_poles(ENVS_PER_SEED * num_seeds)
    return learn(env, config, seed=seed, num_seeds=num_seeds, snapshot_every=EVALUATE_EVERY)


def peer_seconds(seed: int) -> float:
    """Return the training time until solved of Stable-Baselines3's DQN."""
    model = DQN("MlpPolicy", gym.make("CartPole-v1"), seed=seed, device="cpu", **ZOO)
    callback = StopWhenSolved(EVALUATE_EVERY)
    model.learn(ZOO_STEPS, callback=callback)
    return callback.stopwatch.seconds if callback.solved else math.inf


def seconds_of_steps(num_seeds: int) -> float:
    """Return the time of 5,000 environment steps a seed, with their updates."""
    start = time.perf_counter()
    for _ in snapshots(seed=0, num_seeds=num_seeds, config=DQNConfig(total_steps=5_000)):
        pass
    return time.perf_counter() - start


def main() -> None:
    """Measure in turn and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-seeds", type=int, default=10)
    seeds = range(parser.parse_args().num_seeds)
    torch.set_num_threads(1)
    pairs = [[seconds_of_steps(8), seconds_of_steps(1)] for _ in range(5)]
    eight, one = map(list, zip(*pairs, strict=True))
    report(
        "dqn_seeds",
        "DQN, 8 seeds in one program",
        unit="s",
        target="at most 3",
        eight_seeds=eight,
        one_seed=one,
    )
    pairs = []
    for seed in (bar := tqdm(seeds)):
        pairs.append([our_seconds(seed), peer_seconds(seed)])
        bar.set_postfix_str("ours {:.1f} s, peer {:.1f} s".format(*pairs[-1]))
    ours, theirs = map(list, zip(*pairs, strict=True))
    report(
        "dqn_cartpole",
        "DQN, seconds to solve CartPole-v1",
        unit="s",
        target="at most 0.333",
        ours=ours,
        stable_baselines3=theirs,
    )


if __name__ == "__main__":
    main()
