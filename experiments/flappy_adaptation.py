"""Learners that adapt to new physics in Flappy Bird by gradients, beside those that do not adapt.

`python flappy_adaptation.py --row NAME` measures one row as `flappy_protocol` says. The rows that
learn share one loop: play an episode nearly greedily with the network as it is, store what was
seen, and take `updates` steps, each on a minibatch of all that the task has shown so far. They
differ in where the network starts and in what turns a gradient into a step. Settings were tuned on
training tasks. Every task has a network of its own, all in one batched program: theta (task, D).
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import flappy_maml
import numpy as np
import torch
from flappy_memoryless import VARIANTS, pipes_passed, trained
from flappy_protocol import EPISODES, MAX_PIPES, SPLITS, hidden_tasks, played, write_row
from torch import Tensor, nn
from tqdm import trange

from metarl_lite.algorithms.learned_optimizer import OptimizerConfig, initial_weights, learned
from metarl_lite.algorithms.meta_dqn import AgentConfig, dqn_problem, q_values, td_gradient
from metarl_lite.algorithms.meta_training import MetaConfig, evolve
from metarl_lite.algorithms.optimizers import Optimizer, Problem, adam
from metarl_lite.envs.flappy import FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.envs.flappy_tasks import PHYSICS
from metarl_lite.nets import stacked_mlp
from metarl_lite.rollout import Transitions, greedy_policy

Policy = Callable[[np.ndarray], np.ndarray]
Course = Iterator[tuple[Policy, float]]  # after 0, 1, 2, ... episodes: policy, mean steps so far
MAX_STEPS = 14_000  # of experience that a task stores
GAMES = 2  # that measure a task, with new pipes


@dataclass(frozen=True)
class Loop:
    """How a network learns from its own episodes."""

    hidden: tuple[int, ...] = (64, 64)
    lr: float = 1e-3  # Adam's, where Adam it is
    updates: int = 100  # after each episode
    batch_size: int = 32
    gamma: float = 0.95
    epsilon: float = 0.02  # share of actions that chance takes
    flaps: float = 0.1  # of them; a bird that flapped half of the time would hit the ceiling


LOOPS = {
    "scratch": Loop(),
    "finetuned": Loop(lr=3e-4),
    "reptile": Loop(lr=3e-4),
    "lstm": Loop(hidden=(32,)),
}
ROWS = {
    "told": "told the physics (PPO)",
    "untold": "one network, untold (PPO)",
    "untold_dqn": "one network, untold (DQN)",
    "scratch": "DQN from scratch",
    "finetuned": "DQN, fine-tuned from the untold one",
    "reptile": "DQN from a Reptile initialisation",
    "maml": "MAML initialisation, taught",
    "lstm": "DQN from scratch, LSTM optimizer",
}


class Birds:
    """One bird a task, and all the transitions that it has seen."""

    def __init__(self, tasks: FlappyTasks, loop: Loop, *, seed: int) -> None:
        self.env, self.loop = VectorFlappyBird(tasks, max_pipes=MAX_PIPES), loop
        self.rng, self.generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        self.rows = torch.zeros(len(tasks), MAX_STEPS + 2_000, 20)
        self.steps = torch.zeros(len(tasks), dtype=torch.long)

    def play(self, theta: Tensor, max_steps: int) -> None:
        """Play one more episode in every task that has not had `max_steps` yet."""

        def policy(obs: np.ndarray) -> np.ndarray:
            explores, flaps = self.rng.random((2, len(obs)))
            chance = flaps < self.loop.flaps
            best = greedy(theta, self.loop.hidden)(obs)
            return np.where(explores < self.loop.epsilon, chance, best).astype(int)

        seed, who = int(self.rng.integers(2**31)), self.steps < max_steps
        played(policy, self.env, seed=seed, visit=self._store, who=who)

    def gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return gradient (task, D) and loss (task,) on a minibatch of each task."""
        shape = len(theta), self.loop.batch_size
        index = (torch.rand(shape, generator=self.generator) * self.steps[:, None]).long()
        rows = self.rows[torch.arange(len(theta))[:, None], index]
        obs, action, reward, next_obs, ends = rows.split([8, 1, 1, 8, 2], dim=-1)
        batch = Transitions(
            *(obs, action.squeeze(-1).long(), reward.squeeze(-1), next_obs),
            *ends.bool().unbind(-1),
        )
        sizes = (8, *self.loop.hidden, 2)
        return td_gradient(theta, batch, sizes=sizes, gamma=self.loop.gamma)

    def _store(self, transitions: Transitions, playing: Tensor) -> None:
        columns = [x.float().reshape(len(playing), -1) for x in transitions]
        i = playing.nonzero().squeeze(1)
        self.rows[i, self.steps[i]] = torch.cat(columns, dim=1)[i]
        self.steps[i] += 1


def greedy(theta: Tensor, hidden: tuple[int, ...] = (64, 64)) -> Policy:
    """Return the greedy policy of theta (task, D), which plays any number of games a task."""

    def policy(obs: np.ndarray) -> np.ndarray:
        games = torch.from_numpy(obs).unflatten(0, (len(theta), -1))
        return q_values(theta, games, (8, *hidden, 2)).argmax(dim=-1).flatten().numpy()

    return policy


def flat(net: nn.Sequential) -> Tensor:
    """Return the parameters of a stack of networks as (copy, D)."""
    return torch.cat([p.detach().flatten(1) for p in net.parameters()], dim=1)


def fresh(tasks: FlappyTasks, hidden: tuple[int, ...], *, seed: int) -> Problem:
    """Return new networks, one a task, as `theta` and `kind` of a problem."""
    config = AgentConfig(hidden=hidden, envs_per_agent=1)
    env = VectorFlappyBird(tasks)
    return dqn_problem(env, lambda theta: theta[:, 0], config, num_agents=len(tasks), seed=seed)


def course(
    theta: Tensor | None,
    optimizer: Optimizer,
    tasks: FlappyTasks,
    loop: Loop,
    *,
    seed: int,
    max_steps: int = MAX_STEPS,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield theta (task, D) and steps (task,) after 0, 1, ... episodes; None starts from scratch.

    A task that has given `max_steps` gives no more, and goes on learning from what it has.
    """
    start, birds = fresh(tasks, loop.hidden, seed=seed), Birds(tasks, loop, seed=seed)
    theta = start.theta if theta is None else theta.expand(len(tasks), -1)
    memory = optimizer.start(Problem(theta, start.kind, birds.gradient, start.score))
    while True:
        yield theta, birds.steps.clone()
        birds.play(theta, max_steps)
        for _ in range(loop.updates):
            step, memory = optimizer.update(birds.gradient(theta)[0], memory)
            theta = theta + step


def reptile(theta: Tensor, loop: Loop, *, iterations: int, num_episodes: int, seed: int) -> Tensor:
    """Return an initialisation (1, D) for the loop, found by it (Nichol et al. 2018).

    Each iteration moves theta towards what the loop has made of it, by a share that falls from a
    half to nothing.
    """
    rng = np.random.default_rng(seed)
    for i in trange(iterations, leave=False):
        task_seed = int(rng.integers(2**31))
        courses = course(theta, adam(loop.lr), sample_tasks(rng, 24), loop, seed=task_seed)
        adapted, _ = next(islice(courses, num_episodes, None))
        theta = theta + 0.5 * (1 - i / iterations) * (adapted.mean(dim=0) - theta)
    return theta


def lstm(loop: Loop, *, num_problems: int, num_episodes: int, seed: int) -> Optimizer:
    """Return an LSTM that has practised on birds from scratch; its score is how long they fly."""

    def make_problem(seed: int) -> Problem:
        tasks = sample_tasks(np.random.default_rng(seed), 8)
        start, birds = fresh(tasks, loop.hidden, seed=seed), Birds(tasks, loop, seed=seed)
        env, calls = VectorFlappyBird(tasks, max_pipes=3), count()

        def gradient(theta: Tensor) -> tuple[Tensor, Tensor]:
            if next(calls) % loop.updates == 0:
                birds.play(theta, MAX_STEPS)
            return birds.gradient(theta)

        def score(theta: Tensor) -> Tensor:
            _, decisions = played(greedy(theta, loop.hidden), env, seed=seed)
            return -torch.from_numpy(decisions).float() / 100

        return Problem(start.theta, start.kind, gradient, score)

    config = MetaConfig(
        num_problems=num_problems,
        num_updates=num_episodes * loop.updates,
        truncation=loop.updates,
        lr=0.06,
        final_lr=0.005,
        score_every=loop.updates // 2,
        noise=0.05,
    )
    rule = OptimizerConfig(clock=10_000)  # never stands still
    weights = evolve(
        initial_weights(rule, seed=seed), make_problem, config, rule, seed=seed
    ).weights
    return learned(weights, rule)


def learning(thetas: Iterator[tuple[Tensor, Tensor]], hidden: tuple[int, ...] = (64, 64)) -> Course:
    """Yield the greedy policies of a course of parameters, and the mean steps they have cost."""
    return ((greedy(theta, hidden), steps.float().mean().item()) for theta, steps in thetas)


def fixed(net: nn.Sequential) -> Course:
    """Yield the greedy policy of one network again and again: it does not learn."""
    while True:
        yield greedy_policy(net), 0.0


def measure(
    adapts: Callable[[FlappyTasks], Course], *, tell: tuple[str, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return, by split, pipes (episodes, task) and the steps of experience (episodes,)."""
    results = {}
    for split in SPLITS:
        tasks = hidden_tasks(split)
        env = VectorFlappyBird(tasks.repeat(GAMES), max_pipes=MAX_PIPES, tell=tell)
        pipes, steps = [], []
        for k, (policy, so_far) in zip(range(max(EPISODES) + 1), adapts(tasks), strict=False):
            if k in EPISODES:
                games, _ = played(policy, env, seed=1_000 + k)
                pipes.append(games.reshape(-1, GAMES).mean(axis=1))
                steps.append(so_far)
        results[split] = np.array(pipes), np.array(steps)
    return results


def best_memoryless(row: str, *, seed: int) -> nn.Sequential:
    """Return the best, on training tasks, of three networks that are trained as one program."""
    tell, change = VARIANTS[{"untold_dqn": "untold, DQN"}.get(row, row)]
    nets = trained(tell, change, birds=256, num_seeds=3, seed=seed)
    tasks = sample_tasks(np.random.default_rng(seed + 1), 200)
    pipes = pipes_passed(nets, tasks, seed=seed, max_pipes=MAX_PIPES, tell=tell).mean(axis=1)
    sizes = [nets[0].weight.shape[1], *(layer.weight.shape[2] for layer in nets[::2])]
    net = stacked_mlp(sizes, num_copies=1)
    with torch.no_grad():
        for one, three in zip(net.parameters(), nets.parameters(), strict=True):
            one.copy_(three[[pipes.argmax()]])
    return net


def learner(row: str, *, seed: int) -> Callable[[FlappyTasks], Course]:
    """Return what the row does with tasks, after all the training it wants on training tasks."""
    if row in ("told", "untold", "untold_dqn"):
        net = best_memoryless(row, seed=seed)
        return lambda tasks: fixed(net)
    if row == "maml":
        taught = flappy_maml.meta_train(best_memoryless("told", seed=seed), seed=seed)
        return lambda tasks: learning(flappy_maml.course(taught, tasks, seed=seed))
    theta, optimizer = start_of(row, seed=seed)
    loop = LOOPS[row]
    return lambda tasks: learning(course(theta, optimizer, tasks, loop, seed=seed), loop.hidden)


def start_of(row: str, *, seed: int) -> tuple[Tensor | None, Optimizer]:
    """Return where a row with a loop starts, theta (1, D) or None, and what makes its steps."""
    loop = LOOPS[row]
    theta, optimizer = None, adam(loop.lr)
    if row in ("finetuned", "reptile"):
        theta = flat(best_memoryless("untold_dqn", seed=seed))
    if row == "reptile":
        theta = reptile(theta, loop, iterations=30, num_episodes=3, seed=seed)
    if row == "lstm":
        optimizer = lstm(loop, num_problems=25, num_episodes=5, seed=seed)
    return theta, optimizer


def main() -> None:
    """Train and measure one row for every seed, and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", choices=ROWS, required=True)
    parser.add_argument("--num-seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seeds = [arguments.seed + i for i in range(arguments.num_seeds)]
    pipes, steps, seconds = {split: [] for split in SPLITS}, {split: [] for split in SPLITS}, []
    for seed in seeds:
        begin = time.process_time()
        adapts = learner(arguments.row, seed=seed)
        seconds.append(round(time.process_time() - begin, 1))
        tell = PHYSICS if arguments.row == "told" else ()
        for split, (found, spent) in measure(adapts, tell=tell).items():
            pipes[split].append(found)
            steps[split].append(spent)
        print(arguments.row, seed, pipes["held_out"][-1].mean(axis=1).round(2), flush=True)
    write_row(
        arguments.row,
        ROWS[arguments.row],
        pipes={split: np.array(values) for split, values in pipes.items()},
        steps={split: np.mean(values, axis=0) for split, values in steps.items()},
        seeds=seeds,
        training_cpu_seconds=seconds,
    )


if __name__ == "__main__":
    main()
