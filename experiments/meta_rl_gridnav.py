"""How safe are chapter 6's claims about meta-RL? Twenty networks in rooms of 4 x 4 cells.

Chapter 6 meta-trains one RL² network live and measures the returns of its three episodes. Here the
same is done with twenty seeds. The record, `meta_rl_gridnav.json` beside this file, holds the mean
return of each episode for each seed, beside the exact Bayes optimum.
"""

import argparse
import time
from functools import partial

import numpy as np
import torch
from report import write_record

from metarl_lite.algorithms.rl2 import RL2Config, make_net, train
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.gridnav import GridNav, sample_goals
from metarl_lite.oracles.gridnav import bayes_optimal_walk, goal_cells, search_returns
from metarl_lite.trials import episode_returns, play

SIZE, EPISODES = 4, 3
ROOMS = TaskFamily(partial(sample_goals, size=SIZE), partial(GridNav, size=SIZE, horizon=10))
CONFIG = RL2Config(
    iterations=60, num_episodes=EPISODES, num_minibatches=4, lr=1e-2, gamma=0.97, entropy_coef=0.06
)


def returns_of(seed: int) -> list[float]:
    """Return the mean return of each episode of a network trained with `seed`, over all goals."""
    env = ROOMS.make_env(np.repeat(sorted(goal_cells(SIZE)), 200, axis=0))
    net = train(make_net(env, hidden_size=48, seed=seed), ROOMS, CONFIG, seed=seed).net
    generator = torch.Generator().manual_seed(seed)
    trials = play(net, env, num_episodes=EPISODES, generator=generator)
    returns = episode_returns(trials, num_episodes=EPISODES).mean(axis=1)
    return returns.astype(float).round(3).tolist()


def main() -> None:
    """Train all seeds and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=6000)
    parser.add_argument("--num-seeds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    first, count = arguments.first_seed, arguments.num_seeds
    returns = [returns_of(seed) for seed in range(first, first + count)]  # (seed, episode)
    walk = np.array(bayes_optimal_walk(size=SIZE, horizon=10, num_episodes=EPISODES))
    optimum = search_returns(walk, size=SIZE, horizon=10, num_episodes=EPISODES)
    record = {"arguments": vars(arguments), "returns": returns, "optimum": optimum.tolist()}
    write_record("meta_rl_gridnav", record | {"cpu_seconds": round(time.process_time() - start)})


if __name__ == "__main__":
    main()
