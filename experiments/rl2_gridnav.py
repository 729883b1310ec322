"""RL² on GridNav, longer than the chapter can wait: trained on one thread, and recorded.

5 x 5 cells, 21 goals, trials of 4 episodes of 15 steps (Zintgraf et al. 2020). First the search is
learned, for its use alone: two episodes, the first of which pays nothing to learn from, as in E-RL²
(Stadie et al. 2018). What the second one pays tells apart the orders of search that the first one
pays alike. But an order that is settled is hard to change, so several searches are learned and the
one whose second episode paid most goes on: to all four episodes, all paid.

The record, `rl2_gridnav_SEED.json` beside this file, holds arguments, seconds, versions, what the
searches paid, the course of training and the mean return of each episode over all 21 goals equally
often.
"""

import argparse

import numpy as np
import torch
from report import write_record
from rl2_stages import Stage, train_in_stages
from torch import Tensor

from metarl_lite.algorithms.rl2 import RL2Config, make_net
from metarl_lite.envs.gridnav import FAMILY
from metarl_lite.nets import RecurrentActorCritic
from metarl_lite.oracles.gridnav import goal_cells
from metarl_lite.trials import Trials, episode_returns, play

EPISODES, STEPS, SEARCHES = 4, 15, 5
SEARCH = RL2Config(
    iterations=700,
    num_tasks=512,
    num_episodes=2,
    num_minibatches=4,
    gamma=0.99,
    lr=5e-3,
    final_lr=5e-4,
    entropy_coef=0.3,
    final_entropy_coef=0.0,
)
WHOLE = RL2Config(
    iterations=200,
    num_episodes=EPISODES,
    num_minibatches=4,
    gamma=0.99,
    lr=1e-3,
    final_lr=1e-4,
    entropy_coef=0.05,
    final_entropy_coef=0.0,
)


def against_same_goal(goals: np.ndarray, trials: Trials) -> Tensor:
    """Return the rewards (time, task) less their means over the tasks with the same goal.

    What a goal pays on average at time t is no merit of the actions in one of its trials.
    """
    same = torch.from_numpy((goals[:, None] == goals).all(axis=-1)).float()
    return trials.reward - trials.reward @ same / same.sum(dim=0)


def from_second_episode(goals: np.ndarray, trials: Trials) -> Tensor:
    """Return the same with nothing for the first episode."""
    reward = against_same_goal(goals, trials)
    reward[:STEPS] = 0.0
    return reward


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


def search(*, seed: int) -> tuple[RecurrentActorCritic, dict]:
    """Return a network that has learned to search, and its record."""
    untrained = make_net(FAMILY.make_env(np.array([[2, 2]])), seed=seed)
    stage = Stage({"name": "search"}, FAMILY, SEARCH, from_second_episode)
    return train_in_stages(untrained, [stage], seed=seed)


def paid(found: dict) -> float:
    """Return what the second episode paid in the last ten iterations of a search."""
    return found["stages"][0]["mean_returns"][-1][1]


def main() -> None:
    """Train several searches, then the best of them on whole trials, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    searches = [search(seed=100 * arguments.seed + i) for i in range(SEARCHES)]
    net, chosen = max(searches, key=lambda found: paid(found[1]))
    whole = Stage({"name": "whole"}, FAMILY, WHOLE, against_same_goal)
    net, record = train_in_stages(net, [whole], seed=arguments.seed)
    records = [record, *(found for _, found in searches)]
    write_record(
        f"rl2_gridnav_{arguments.seed}",
        {
            "arguments": vars(arguments),
            "held_out": measure(net, trials_a_goal=1_000, seed=arguments.seed + 1_000_000),
            "searches_paid": [paid(found) for _, found in searches],
            "seconds": sum(part["seconds"] for part in records),
            "cpu_seconds": sum(part["cpu_seconds"] for part in records),
            "stages": chosen["stages"] + record["stages"],
        },
    )


if __name__ == "__main__":
    main()
