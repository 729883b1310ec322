"""How safe are chapter 3's claims about CartPole? Eighty networks, taken four at a time.

Chapter 3 trains four networks, chooses one by its evaluations and tests it on fresh episodes; then
it switches off one part of DQN at a time. Here twenty such readers train side by side, as eighty
seeds of one program, and the script counts for how many of them each claim holds. The record is
`dqn_seeds.json` beside this file.
"""

import argparse
import time

import numpy as np
import torch
from poles import make_poles, mean_returns
from report import write_record

from metarl_lite.algorithms.dqn import DQNConfig, learn, train

NETWORKS_A_READER, ENVS_A_NETWORK = 4, 16
VARIANTS = {
    "all of it": {},
    "without replay": {"buffer_size": ENVS_A_NETWORK},
    "without target network": {"target_every": 1},
    "without Double": {"double": False},
}


def main_run(num_readers: int, seed: int) -> dict:
    """Return what the readers' chosen networks score on 100 fresh episodes."""
    networks = NETWORKS_A_READER * num_readers
    result = train(
        make_poles(ENVS_A_NETWORK * networks),
        evaluate=lambda net, step: mean_returns(net, seed + step, num_episodes=50),
        seed=seed,
        num_seeds=networks,
        progress=True,
    )
    best = result.returns.max(axis=0).reshape(num_readers, -1)
    fresh = mean_returns(result.net, seed + 1_000_000, num_episodes=100).reshape(num_readers, -1)
    chosen = fresh[np.arange(num_readers), best.argmax(axis=1)]
    return {
        "chosen_network_fresh_episodes": chosen.tolist(),
        "readers_at_475": float((chosen >= 475).mean()),
        "networks_evaluated_at_475_at_least_once": float((best >= 475).mean()),
        "steps": result.steps.tolist(),
        "median_return": np.median(result.returns, axis=1).tolist(),
    }


def ablations(num_readers: int, seed: int, *, steps: int = 2_500) -> dict:
    """Return each reader's mean return of each variant after `steps` steps."""
    networks = NETWORKS_A_READER * num_readers
    scores = {}
    for name, change in VARIANTS.items():
        env = make_poles(ENVS_A_NETWORK * networks)
        snapshots = learn(
            env, DQNConfig(**change), seed=seed, num_seeds=networks, snapshot_every=steps
        )
        returns = mean_returns(next(snapshots).net, seed, num_episodes=50)
        scores[name] = returns.reshape(num_readers, -1).mean(axis=1)
    left = {name: 100 * score / scores["all of it"] for name, score in scores.items()}
    return {
        "mean_return": {name: score.tolist() for name, score in scores.items()},
        "readers_without_target_at_most_40_percent": float(
            (left["without target network"] <= 40).mean()
        ),
        "readers_ahead_without_replay": float((left["without replay"] > 100).mean()),
    }


def main() -> None:
    """Run both and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-readers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    record = {
        "arguments": vars(arguments),
        "ablations": ablations(arguments.num_readers, arguments.seed),
        "main_run": main_run(arguments.num_readers, arguments.seed),
        "seconds": round(time.perf_counter() - start),
    }
    write_record("dqn_seeds", record)


if __name__ == "__main__":
    main()
