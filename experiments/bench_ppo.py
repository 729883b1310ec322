"""Seconds until PPO balances CartPole-v1, beside Stable-Baselines3.

Solved: three evaluations in a row, one every 2,048 environment steps, of 100 greedy episodes each
with a mean of at least 475. Evaluations are not timed. Stable-Baselines3 runs the RL Zoo's settings
for CartPole-v1 (Raffin 2020). A run that has not solved it by its last step counts as infinite.
"""

import argparse
import math

import torch
from poles import make_poles
from report import report
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stopwatch import Stopwatch, StopWhenSolved
from tqdm import tqdm

from metarl_lite.algorithms.ppo import PPOConfig, learn
from metarl_lite.rollout import greedy_policy

EVALUATE_EVERY, TOTAL_STEPS = 2_048, 100_000
ENVS_PER_SEED = 32
ZOO_ENVS = 8
ZOO = {
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 20,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "ent_coef": 0.0,
    "learning_rate": lambda left: 1e-3 * left,
    "clip_range": lambda left: 0.2 * left,
}


def our_seconds(seed: int) -> float:
    """Return the training time until solved of our PPO, one seed."""
    env = make_poles(ENVS_PER_SEED)
    config = PPOConfig(total_steps=TOTAL_STEPS)
    stopwatch = Stopwatch()
    for snapshot in learn(env, config, seed=seed, snapshot_every=EVALUATE_EVERY):
        if stopwatch.evaluate(greedy_policy(snapshot.policy), snapshot.step):
            return stopwatch.seconds
    return math.inf


def peer_seconds(seed: int) -> float:
    """Return the training time until solved of Stable-Baselines3's PPO."""
    env = make_vec_env("CartPole-v1", n_envs=ZOO_ENVS, seed=seed)
    model = PPO("MlpPolicy", env, seed=seed, device="cpu", **ZOO)
    callback = StopWhenSolved(EVALUATE_EVERY)
    model.learn(TOTAL_STEPS, callback=callback)
    return callback.stopwatch.seconds if callback.solved else math.inf


def main() -> None:
    """Measure in turn and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-seeds", type=int, default=10)
    seeds = range(parser.parse_args().num_seeds)
    torch.set_num_threads(1)
    pairs = []
    for seed in (bar := tqdm(seeds)):
        pairs.append([our_seconds(seed), peer_seconds(seed)])
        bar.set_postfix_str("ours {:.2f} s, peer {:.2f} s".format(*pairs[-1]))
    ours, theirs = map(list, zip(*pairs, strict=True))
    report(
        "ppo_cartpole",
        "PPO, seconds to solve CartPole-v1",
        unit="s",
        target="at most 0.5",
        ours=ours,
        stable_baselines3=theirs,
    )


if __name__ == "__main__":
    main()
