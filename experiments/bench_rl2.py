"""RL² in tokens a second, rollout and update together; and what twice as many tasks cost.

A token is one step of one task. Each measurement is one iteration of training on bandits of 5 arms
and 100 pulls: a trial of every task, then 3 epochs of 8 minibatches.
"""

import argparse
import time

import numpy as np
import torch
from report import report

from metarl_lite.algorithms.rl2 import RL2Config, learn, make_net
from metarl_lite.envs.bandits import FAMILY, BernoulliBandits

HORIZON = 100  # the family's


def seconds_an_iteration(num_tasks: int, num_iterations: int) -> list[float]:
    """Return the time of each iteration, after one to warm up."""
    net = make_net(BernoulliBandits(np.zeros((1, 5))), seed=0)
    config = RL2Config(iterations=num_iterations + 1, num_tasks=num_tasks)
    marks = [time.perf_counter() for _ in learn(net, FAMILY, config, seed=0)]
    return np.diff(marks).tolist()


def main() -> None:
    """Measure in turn and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-iterations", type=int, default=5)
    num_iterations = parser.parse_args().num_iterations
    torch.set_num_threads(1)
    rounds = [
        [seconds_an_iteration(num_tasks, num_iterations) for num_tasks in (512, 256)]
        for _ in range(3)
    ]
    many, few = (np.concatenate(column).tolist() for column in zip(*rounds, strict=True))
    report(
        "rl2_tasks",
        "RL², seconds of an iteration",
        unit="s",
        target="less than 2",
        tasks_512=many,
        tasks_256=few,
    )
    report(
        "rl2_tokens",
        "RL², tokens a second",
        unit="tokens/s",
        target="more with 512 tasks",
        tasks_512=[512 * HORIZON / seconds for seconds in many],
        tasks_256=[256 * HORIZON / seconds for seconds in few],
    )


if __name__ == "__main__":
    main()
