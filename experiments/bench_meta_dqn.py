"""What 64 agents in one program cost, beside one: learned updates of small Q-networks.

Each agent explores a random MDP of its own with 16 copies of the environment and replays 64
transitions an update. Experience, gradient and the LSTM's update are all in the time.
"""

import argparse
import time

import numpy as np
import torch
from report import report
from torch import Tensor

from metarl_lite.algorithms.learned_optimizer import initial_weights, learned
from metarl_lite.algorithms.meta_dqn import AgentConfig, dqn_problem
from metarl_lite.algorithms.optimizers import follow
from metarl_lite.envs.mdp import sample_tasks
from metarl_lite.envs.tabular import TabularEnv


def nothing(theta: Tensor) -> Tensor:
    """Return zeros (agent,): the agents are not evaluated here."""
    return theta.new_zeros(len(theta))


def seconds(num_agents: int, num_updates: int) -> float:
    """Return the time of `num_updates` updates of all agents."""
    config = AgentConfig()
    mdps = sample_tasks(np.random.default_rng(0), num_agents, gamma=config.gamma)
    env = TabularEnv([mdp for mdp in mdps for _ in range(config.envs_per_agent)], horizon=10)
    problem = dqn_problem(env, nothing, config, num_agents=num_agents, seed=0)
    optimizer = learned(initial_weights(seed=0))
    follow(optimizer, problem, 5)
    start = time.perf_counter()
    follow(optimizer, problem, num_updates)
    return time.perf_counter() - start


def main() -> None:
    """Measure in turn and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-updates", type=int, default=200)
    num_updates = parser.parse_args().num_updates
    torch.set_num_threads(1)
    rounds = [[seconds(agents, num_updates) for agents in (64, 1)] for _ in range(5)]
    many, one = map(list, zip(*rounds, strict=True))
    report(
        "meta_dqn_agents",
        "Meta-DQN, agents in one program",
        unit="s",
        target="at most 8",
        agents_64=many,
        agents_1=one,
    )


if __name__ == "__main__":
    main()
