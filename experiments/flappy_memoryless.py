"""What one network without memory reaches over all physics of Flappy Bird, told them and not.

The record behind the ranges of `metarl_lite/envs/flappy_tasks.py`: each variant trains on the
training split, several seeds as one program, and plays one greedy game in each of many tasks of
every split, 20 pipes at most. The record is `flappy_memoryless.json` beside this file.
"""

import argparse
import time

import numpy as np
import torch
from report import write_record
from torch import nn

from metarl_lite.algorithms import dqn, ppo
from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.envs.flappy_tasks import PHYSICS, SPLITS
from metarl_lite.evaluate import returns_of_policy
from metarl_lite.rollout import greedy_policy

MAX_PIPES = 20
VARIANTS = {  # what is told, and what differs from the PPO below
    "told": (PHYSICS, {}),
    "untold": ((), {}),
    "untold, longer": ((), {"total_steps": 2_000_000}),
    "untold, DQN": ((), None),
}


def trained(tell: tuple[str, ...], change: dict | None, *, birds: int, num_seeds: int, seed: int):
    """Return the last network of each seed, trained on `birds` tasks a seed."""
    tasks = sample_tasks(np.random.default_rng(seed), birds * num_seeds)
    env = VectorFlappyBird(tasks, tell=tell)
    sizes = {"seed": seed, "num_seeds": num_seeds}
    if change is None:
        config = dqn.DQNConfig(
            total_steps=1_000_000,
            gamma=0.95,
            hidden=(64, 64),
            lr=1e-3,
            final_lr=0.0,
            batch_size=256,
            buffer_size=200_000,
            learning_starts=10_000,
            updates_per_step=4,
            epsilon_steps=200_000,
            final_epsilon=0.01,
        )
        *_, last = dqn.learn(env, config, snapshot_every=config.total_steps, **sizes)
        return last.net
    settings = {"gamma": 0.95, "hidden": (64, 64, 64), "lr": 3e-3, "entropy_coef": 0.01}
    config = ppo.PPOConfig(**({"total_steps": 1_000_000} | settings | change))
    *_, last = ppo.learn(env, config, snapshot_every=config.total_steps, **sizes)
    return last.policy


def pipes_passed(
    net: nn.Sequential, tasks: FlappyTasks, *, seed: int, max_pipes: int, tell: tuple[str, ...] = ()
) -> np.ndarray:
    """Return the pipes (network, task) of one greedy game in each task, `max_pipes` at most."""
    networks = len(net[0].weight)
    everyone = tasks[np.tile(np.arange(len(tasks)), networks)]
    returns = returns_of_policy(
        greedy_policy(net),
        lambda num_envs: VectorFlappyBird(everyone, max_pipes=max_pipes, tell=tell),
        num_episodes=len(everyone),
        seed=seed,
    )
    pipes = np.where(returns < max_pipes, returns + 1, returns)  # a crash has cost 1
    return pipes.reshape(networks, len(tasks))


def main() -> None:
    """Run all variants and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--birds", type=int, default=256)
    parser.add_argument("--test-tasks", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    splits = {
        split: sample_tasks(
            np.random.default_rng(arguments.seed + 1), arguments.test_tasks, split=split
        )
        for split in SPLITS
    }
    variants = {}
    for name, (tell, change) in VARIANTS.items():
        start = time.process_time()
        net = trained(
            tell,
            change,
            birds=arguments.birds,
            num_seeds=arguments.num_seeds,
            seed=arguments.seed,
        )
        seconds = time.process_time() - start
        pipes = {
            split: pipes_passed(net, tasks, seed=7, max_pipes=MAX_PIPES, tell=tell).mean(axis=1)
            for split, tasks in splits.items()
        }
        variants[name] = {
            "tell": tell,
            "change": change,
            "pipes": {split: values.round(3).tolist() for split, values in pipes.items()},
            "training_cpu_seconds": round(seconds, 1),
        }
        print(name, variants[name], flush=True)
        record = {"arguments": vars(arguments), "max_pipes": MAX_PIPES, "variants": variants}
        write_record("flappy_memoryless", record)  # now, too: the whole takes minutes
    told = np.mean(variants["told"]["pipes"]["held_out"])
    untold = max(
        max(values["pipes"]["held_out"]) for values in variants.values() if not values["tell"]
    )
    print(f"held out: told {told:.2f}, the best untold {untold:.2f}, ratio {untold / told:.3f}")


if __name__ == "__main__":
    main()
