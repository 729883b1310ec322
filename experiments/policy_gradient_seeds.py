"""How safe are chapter 4's claims about CartPole? Eighty networks, taken four at a time.

Chapter 4 trains four networks with each of three learners and measures the last ones on fresh
episodes, without choosing. Here twenty such readers train side by side, as eighty seeds of one
program, and the record holds the mean of each reader's four networks, and every network's. It is
`policy_gradient_seeds.json` beside this file.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from metarl_lite.algorithms.policy_gradient import PolicyGradientConfig, learn
from metarl_lite.envs.cartpole import STANDARD, VectorCartPole
from metarl_lite.evaluate import returns_of_policy
from metarl_lite.rollout import greedy_policy

NETWORKS_A_READER, ENVS_A_NETWORK, NUM_EPISODES = 4, 16, 100
LEARNERS = {
    "actor-critic": PolicyGradientConfig(),
    "one critic step": PolicyGradientConfig(critic_updates=1),
    "REINFORCE": PolicyGradientConfig(
        num_steps=0, num_updates=30, gae_lambda=1.0, lr=1e-2, critic_updates=0
    ),
}


def make_poles(num_envs: int) -> VectorCartPole:
    """Return standard cart-poles."""
    return VectorCartPole(STANDARD.repeat(num_envs))


def last_networks(config: PolicyGradientConfig, num_readers: int, seed: int) -> dict:
    """Return what the last networks score on fresh greedy episodes, and their mean steps."""
    networks = NETWORKS_A_READER * num_readers
    env = make_poles(ENVS_A_NETWORK * networks)
    every = config.num_updates
    (last,) = learn(env, config, seed=seed, num_seeds=networks, snapshot_every=every)
    returns = returns_of_policy(
        greedy_policy(last.policy),
        make_poles,
        num_episodes=networks * NUM_EPISODES,
        seed=seed + 1,
    ).reshape(networks, NUM_EPISODES)
    by_network = returns.mean(axis=1)
    by_reader = by_network.reshape(num_readers, -1).mean(axis=1)
    return {
        "mean_steps": float(last.step.mean()),
        "readers": by_reader.round(1).tolist(),
        "networks": np.sort(by_network).round(1).tolist(),
    }


def main() -> None:
    """Run all learners and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-readers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record = {"arguments": vars(arguments)}
    for name, config in LEARNERS.items():
        start = time.process_time()
        record[name] = last_networks(config, arguments.num_readers, arguments.seed)
        record[name]["cpu_seconds"] = round(time.process_time() - start)
    record["versions"] = {name: version(name) for name in ("gymnasium", "numpy", "torch")}
    record["python"] = platform.python_version()
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
