"""The rows of chapter 16's table that have a memory: RL², and a student taught by a told teacher.

Both play from the observation, their last action and reward, and whether a game begins. `rl2` is
trained by PPO on the rewards of its trials (`algorithms/rl2.py`); `student` first trains a network
that is told the physics, then learns from it (`algorithms/dagger.py`). The record of a row is
`flappy_adaptation_ROW.json` beside this file: pipes of a game after so many games of experience.
"""

import argparse
import time
from dataclasses import asdict
from functools import partial

import numpy as np
import torch
from flappy_protocol import EPISODES, MAX_PIPES, SPLITS, hidden_tasks, write_row

from metarl_lite.algorithms import dagger, rl2
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.flappy import FAMILY, STANDARD, FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.envs.flappy_tasks import told
from metarl_lite.flappy_agent import train_agent
from metarl_lite.nets import RecurrentActorCritic
from metarl_lite.trials import play, returns_by_episode

SLOWEST = 760  # decisions of a game of 20 pipes, at most
RL2 = rl2.RL2Config(
    iterations=150,
    num_tasks=128,
    num_steps=256,
    num_minibatches=8,
    lr=3e-3,
    final_lr=1e-4,
    entropy_coef=0.01,
    final_entropy_coef=0.0,
)
TELLER_STEPS = 700_000
SHORT_GAMES = TaskFamily(sample_tasks, partial(VectorFlappyBird, max_pipes=8))  # several a trial


def make_net(seed: int) -> RecurrentActorCritic:
    """Return an untrained network; the heights that it sees differ in the second digit."""
    return rl2.make_net(FAMILY.make_env(STANDARD), input_scale=4.0, seed=seed)


def train_rl2(seed: int) -> RecurrentActorCritic:
    """Return RL², trained on rewards alone."""
    return rl2.train(make_net(seed), FAMILY, RL2, seed=seed).net


def train_student(seed: int) -> RecurrentActorCritic:
    """Return a network that was taught by another one, which was told the physics."""
    policy = train_agent(seed=seed, total_steps=TELLER_STEPS, progress=False)

    def teacher(inputs: torch.Tensor, tasks) -> torch.Tensor:
        physics = torch.from_numpy(told(tasks)).float().expand(*inputs.shape[:2], -1)
        obs = torch.cat([inputs[..., :8], physics], dim=-1)
        return policy(obs.flatten(0, 1)[None])[0].unflatten(0, inputs.shape[:2])

    return dagger.train(make_net(seed), teacher, SHORT_GAMES, seed=seed).net


def measured(net: RecurrentActorCritic, tasks: FlappyTasks) -> tuple[np.ndarray, np.ndarray]:
    """Return pipes (episode, task) of the games after EPISODES, and the mean steps before each."""
    num_games = EPISODES[-1] + 1
    trials = play(
        net,
        VectorFlappyBird(tasks, max_pipes=MAX_PIPES),
        num_steps=num_games * SLOWEST,
        greedy=True,
        generator=torch.Generator().manual_seed(7),
    )
    returns = returns_by_episode(trials, num_episodes=num_games)[list(EPISODES)]
    pipes = np.where(returns < MAX_PIPES, returns + 1, returns)  # a crash has cost 1
    game = trials.inputs[..., -1].cumsum(dim=0)
    steps = np.array([(game <= k).sum(dim=0).float().mean() for k in EPISODES])
    return pipes, steps


ROWS = {
    "rl2": ("RL²: recurrent, from rewards alone", train_rl2, RL2),
    "student": ("recurrent, taught by one that is told", train_student, dagger.DaggerConfig()),
}


def main() -> None:
    """Train the row's seeds, measure them and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", choices=ROWS, required=True)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    label, train, config = ROWS[arguments.row]
    seeds = list(range(arguments.seed, arguments.seed + arguments.num_seeds))
    results, seconds = {split: [] for split in SPLITS}, []
    for seed in seeds:
        start = time.process_time()
        net = train(seed)
        seconds.append(round(time.process_time() - start, 1))
        for split in SPLITS:
            results[split].append(measured(net, hidden_tasks(split)))
            print(seed, split, results[split][-1][0].mean(axis=1), seconds[-1], flush=True)
    write_row(
        arguments.row,
        label,
        pipes={split: np.array([pipes for pipes, _ in results[split]]) for split in SPLITS},
        steps={split: np.mean([steps for _, steps in results[split]], axis=0) for split in SPLITS},
        seeds=seeds,
        training_cpu_seconds=seconds,
        arguments=vars(arguments) | {"config": asdict(config)},
    )


if __name__ == "__main__":
    main()
