"""How safe are chapter 4's claims about CartPole? Eighty networks, taken four at a time.

Chapter 4 trains four networks with each of three learners and measures the last ones on fresh
episodes, without choosing. Here twenty such readers train side by side, as eighty seeds of one
program, and the record holds the mean of each reader's four networks, and every network's. It is
`policy_gradient_seeds.json` beside this file.
"""

import argparse
import time

import numpy as np
import torch
from poles import make_poles, mean_returns
from report import write_record

from metarl_lite.algorithms.policy_gradient import PolicyGradientConfig, learn

NETWORKS_A_READER, ENVS_A_NETWORK, NUM_EPISODES = 4, 16, 100
LEARNERS = {
    "actor-critic": PolicyGradientConfig(),
    "one critic step": PolicyGradientConfig(critic_updates=1),
    "REINFORCE": PolicyGradientConfig(
        num_steps=0, num_updates=30, gae_lambda=1.0, lr=1e-2, critic_updates=0
    ),
}


def last_networks(config: PolicyGradientConfig, num_readers: int, seed: int) -> dict:
    """Return what the last networks score on fresh greedy episodes, and their mean steps."""
    networks = NETWORKS_A_READER * num_readers
    env = make_poles(ENVS_A_NETWORK * networks)
    every = config.num_updates
    (last,) = learn(env, config, seed=seed, num_seeds=networks, snapshot_every=every)
    by_network = mean_returns(last.policy, seed + 1, num_episodes=NUM_EPISODES)
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
    write_record("policy_gradient_seeds", record)


if __name__ == "__main__":
    main()
