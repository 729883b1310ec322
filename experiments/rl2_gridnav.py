"""RL² on GridNav, longer than the chapter can wait: trained on one thread, and recorded.

5 x 5 cells, 21 goals, trials of 4 episodes of 15 steps (Zintgraf et al. 2020). The record,
`rl2_gridnav_SEED.json` beside this file, holds arguments, seconds, versions, the course of training
and the mean return of each episode over all 21 goals equally often.
"""

import argparse

import numpy as np
import torch
from report import write_record
from rl2_stages import train_in_stages

from metarl_lite.algorithms.rl2 import RL2Config, make_net
from metarl_lite.envs.gridnav import FAMILY
from metarl_lite.oracles.gridnav import goal_cells
from metarl_lite.trials import episode_returns, play

EPISODES = 4
# Much entropy, and a slow end to it: a search order that is settled too early is hard to change.
STAGES = (
    RL2Config(
        iterations=1_200,
        num_episodes=EPISODES,
        num_minibatches=4,
        gamma=0.99,
        lr=5e-3,
        final_lr=1e-4,
        entropy_coef=0.15,
        final_entropy_coef=0.0,
    ),
)


def measure(net, *, trials_a_goal: int, seed: int) -> dict:
    """Return mean and standard error of every episode's return, all goals equally often."""
    goals = np.repeat(sorted(goal_cells(5)), trials_a_goal, axis=0)
    generator = torch.Generator().manual_seed(seed)
    trials = play(net, FAMILY.make_env(goals), num_episodes=EPISODES, generator=generator)
    returns = episode_returns(trials, num_episodes=EPISODES)
    within = returns.reshape(EPISODES, -1, trials_a_goal).std(axis=2)  # goals are not drawn
    return {
        "num_trials": len(goals),
        "mean": returns.mean(axis=1).tolist(),
        "standard_error": (np.sqrt((within**2).mean(axis=1) / len(goals))).tolist(),
    }


def main() -> None:
    """Train through the stages and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    untrained = make_net(FAMILY.make_env(np.array([[2, 2]])), seed=arguments.seed)
    stages = [({}, FAMILY, config) for config in STAGES]
    net, record = train_in_stages(untrained, stages, seed=arguments.seed)
    held_out = measure(net, trials_a_goal=1_000, seed=arguments.seed + 1_000_000)
    name = f"rl2_gridnav_{arguments.seed}"
    write_record(name, {"arguments": vars(arguments), "held_out": held_out} | record)


if __name__ == "__main__":
    main()
