"""What PPO's parts are worth on CartPole, over many seeds: the record behind chapter 5.

Every variant trains as many seeds as one program and is evaluated, greedily, when the networks of
the chapter are. The record is `ppo_seeds.json` beside this file.
"""

import argparse
import time

import numpy as np
import torch
from poles import make_poles, mean_returns
from report import write_record

from metarl_lite.algorithms.ppo import PPOConfig, learn

ENVS_A_SEED, EVALUATE_EVERY = 32, 5_120
NO_CLIP = 1e6
VARIANTS = {
    "all of it": {},
    "no clip": {"clip_coef": NO_CLIP},
    "one epoch": {"num_epochs": 1},
    "one gradient step": {"num_epochs": 1, "num_minibatches": 1},
    "20 epochs": {"num_epochs": 20},
    "20 epochs, no clip": {"num_epochs": 20, "clip_coef": NO_CLIP},
    "no normalisation": {"normalise_advantage": False},
    "lambda = 0": {"gae_lambda": 0.0},
    "lambda = 1": {"gae_lambda": 1.0},
}


def course(change: dict, *, num_seeds: int, seed: int, last_step: int) -> dict:
    """Return evaluations up to `last_step`, and the KL before the last gradient step of a segment.

    Training is scheduled for the default number of steps, whenever it is stopped.
    """
    config = PPOConfig(**change)
    record = {"steps": [], "returns": [], "kl": []}
    env = make_poles(ENVS_A_SEED * num_seeds)
    for snapshot in learn(
        env, config, seed=seed, num_seeds=num_seeds, snapshot_every=EVALUATE_EVERY
    ):
        returns = mean_returns(snapshot.policy, seed + snapshot.step, num_episodes=50)
        record["steps"].append(snapshot.step)
        record["returns"].append(returns.round(2).tolist())
        record["kl"].append(float(np.median(snapshot.kl[-1])))
        if snapshot.step >= last_step:
            break
    fresh = mean_returns(snapshot.policy, seed + 1_000_000, num_episodes=100)
    return record | {"fresh": fresh.round(2).tolist()}


def main() -> None:
    """Run all variants and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-seeds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--ablation-steps", type=int, default=20_480)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start, start_cpu = time.perf_counter(), time.process_time()
    sizes = {"num_seeds": arguments.num_seeds, "seed": arguments.seed}
    variants = {}
    for name, change in VARIANTS.items():
        last_step = arguments.ablation_steps if change else PPOConfig().total_steps
        variants[name] = course(change, last_step=last_step, **sizes)
        print(name, np.mean(variants[name]["returns"], axis=1).round(), flush=True)
    record = {
        "arguments": vars(arguments),
        "variants": variants,
        "seconds": round(time.perf_counter() - start),
        "cpu_seconds": round(time.process_time() - start_cpu),
    }
    write_record("ppo_seeds", record)


if __name__ == "__main__":
    main()
