"""Meta-DQN beyond the chapter: how it was meta-trained, where it still works, and on cart-poles.

`--part trainers` compares evolution strategies with back-propagation, `transfer` takes one rule to
other lengths, widths and tasks, `gridnav` and `cartpole` train and test on those families. Each
writes `meta_dqn_PART.json` beside this file, with arguments, seconds of processor time and
versions. For the rule and the tuned baselines, from the same first
weights, worlds and random numbers: `updates` until the mean score over held-out agents has gone
90 % of the way (null: not within the updates given), and the score on the way.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from report import write_record
from torch import Tensor

from metarl_lite.algorithms.learned_optimizer import OptimizerConfig, initial_weights, learned
from metarl_lite.algorithms.meta_dqn import (
    AgentConfig,
    dqn_problem,
    network_sizes,
    q_values,
    updates_until,
)
from metarl_lite.algorithms.meta_training import MetaConfig, backpropagate, evolve
from metarl_lite.algorithms.optimizers import Problem, adam, follow, momentum, rmsprop, sgd
from metarl_lite.envs import cartpole, gridnav
from metarl_lite.envs.mdp import MDP, sample_tasks
from metarl_lite.envs.tabular import TabularEnv
from metarl_lite.oracles.tabular_returns import share_of_optimal, yardstick

SMALL = AgentConfig()
ROUNDS = MetaConfig()  # the chapter's
GRIDS = {  # SGD and momentum never came near these two, see the chapter
    "RMSprop": (rmsprop, (0.01, 0.017, 0.03, 0.055)),
    "Adam": (adam, (0.03, 0.055, 0.1, 0.17)),
}
POLE_GRIDS = {
    "SGD": (sgd, (0.003, 0.01, 0.03)),
    "momentum": (momentum, (0.001, 0.003, 0.01)),
    "RMSprop": (rmsprop, (0.006, 0.01, 0.017, 0.03)),
    "Adam": (adam, (0.01, 0.017, 0.03, 0.055)),
}
HELD_OUT, TUNING = 1_000_000, 2_000_000  # added to a seed: problems that meta-training never sees


def random_worlds(rng: np.random.Generator, num_tasks: int, **changed) -> list[MDP]:
    """Return the chapter's worlds: ten states, five actions, episodes that start anywhere."""
    worlds = sample_tasks(rng, num_tasks, gamma=0.9, **changed)
    return [MDP(world.P, world.R, world.gamma) for world in worlds]


def sparse_worlds(rng: np.random.Generator, num_tasks: int) -> list[MDP]:
    """Return worlds whose transitions are nearly deterministic: Dirichlet(0.1)."""
    P = rng.dirichlet(0.1 * np.ones(10), size=(num_tasks, 10, 5))
    R = rng.normal(1.0, 1.0, size=(num_tasks, 10, 5))
    return [MDP(p, r, 0.9) for p, r in zip(P, R, strict=True)]


def scaled_worlds(rng: np.random.Generator, num_tasks: int) -> list[MDP]:
    """Return worlds with rewards three times as large."""
    return [MDP(world.P, 3 * world.R, 0.9) for world in random_worlds(rng, num_tasks)]


def grids(rng: np.random.Generator, num_tasks: int) -> tuple[MDP, ...]:
    """Return GridNav worlds as tables."""
    return gridnav.as_mdps(gridnav.sample_goals(rng, num_tasks))


def tabular(
    seed: int,
    agents: int = 24,
    *,
    config: AgentConfig = SMALL,
    worlds: Callable = random_worlds,
    horizon: int = 15,
    temperature: float = 0.0,
) -> Problem:
    """Return fresh agents in fresh worlds; the score is minus the share of the way to optimal."""
    mdps = worlds(np.random.default_rng(seed), agents)
    env = TabularEnv([mdp for mdp in mdps for _ in range(config.envs_per_agent)], horizon=horizon)
    tasks, sizes = yardstick(mdps), network_sizes(env, config)

    def score(theta: Tensor) -> Tensor:
        q = q_values(theta, torch.eye(sizes[0]), sizes)
        return -share_of_optimal(tasks, q, temperature=temperature)

    return dqn_problem(env, score, config, num_agents=agents, seed=seed)


POLES = AgentConfig(hidden=(64,), gamma=0.97, epsilon=0.2, first_steps=10)
LONGEST, GAMES = 200, 4


def poles(seed: int, agents: int = 24, *, spread: float = 1.5) -> Problem:
    """Return fresh agents on cart-poles of changed physics; the score is minus the share of 200.

    That is the mean length of four greedy games, of 200 steps at most, over 200.
    """
    tasks = cartpole.sample_tasks(np.random.default_rng(seed), agents, spread=spread)
    env = cartpole.VectorCartPole(tasks.repeat(POLES.envs_per_agent), horizon=LONGEST)
    sizes = network_sizes(env, POLES)

    def score(theta: Tensor) -> Tensor:
        games = cartpole.VectorCartPole(tasks.repeat(GAMES), horizon=LONGEST)
        obs, _ = games.reset(seed=seed)
        lasting, lengths = np.ones(agents * GAMES, dtype=bool), np.zeros(agents * GAMES)
        while lasting.any():
            inputs = torch.from_numpy(obs).float().unflatten(0, (agents, GAMES))
            actions = q_values(theta, inputs, sizes).argmax(dim=-1).flatten().numpy()
            obs, _, terminated, truncated, _ = games.step(actions)
            lengths += lasting
            lasting &= ~(terminated | truncated)
        return -torch.from_numpy(lengths).view(agents, GAMES).mean(dim=1) / LONGEST

    return dqn_problem(env, score, POLES, num_agents=agents, seed=seed)


def tune(
    make_problem: Callable, grids: dict, *, level: float, num_updates: int, score_every: int
) -> dict:
    """Return each baseline at its best rate: fewest updates to `level`, then best mean score."""
    best = {}
    for name, (make, rates) in grids.items():
        runs = [
            follow(make(lr), make_problem(), num_updates, score_every=score_every) for lr in rates
        ]
        key = [(updates_until(run[0], level), run[0].mean().item()) for run in runs]
        rate = rates[min(range(len(rates)), key=key.__getitem__)]
        best[f"{name} {rate}"] = make(rate)
    return best


def compare(contestants: dict, make_problem: Callable, **how) -> dict:
    """Return for each contestant updates to 90 % and the scores on the way (every `every`)."""
    level, num_updates, every = how["level"], how["num_updates"], how["score_every"]
    rows = {}
    for name, optimizer in contestants.items():
        scores, losses = follow(optimizer, make_problem(), num_updates, score_every=every)
        needed = every * updates_until(scores, level)
        rows[name] = {
            "updates": needed if math.isfinite(needed) else None,
            "score": [round(x, 4) for x in (-scores.mean(dim=1)).tolist()][:: max(1, 5 // every)],
            "final_loss": losses[-10:].nanmedian().item(),
        }
    return rows


def trainers(seed: int) -> dict:
    """Return the updates to 90 % of rules that were meta-trained in different ways."""
    whole = replace(ROUNDS, num_problems=80)
    cut = replace(ROUNDS, num_problems=40, truncation=20, lr=0.005, final_lr=0.001)

    def soft(problem_seed: int) -> Problem:
        return tabular(problem_seed, 32, temperature=0.3)

    ways = {  # for about as much processor time each
        "evolution strategies": (evolve, tabular, whole),
        "back-propagation, dropped": (backpropagate, soft, cut),
        "back-propagation, kept": (backpropagate, soft, replace(cut, second_order=True)),
    }
    rows = {}
    for name, (train, make_problem, config) in ways.items():
        start = time.process_time()
        result = train(initial_weights(seed=seed), make_problem, config, seed=seed)
        seconds = time.process_time() - start
        how = {"level": -0.9, "num_updates": 300, "score_every": 1}
        rule = {"rule": learned(result.weights)}
        rows[name] = {"seconds": seconds} | compare(
            rule, lambda: tabular(seed + HELD_OUT, 128), **how
        )["rule"]
        print(name, rows[name]["updates"], f"{seconds:.0f} s", flush=True)
    return rows


def against_baselines(seed: int, rule, cases: dict, grids: dict = GRIDS, **how) -> dict:
    """Return for each case how the rule does, and baselines tuned on practice of that case."""
    rows = {}
    for name, make_problem in cases.items():
        tuned = tune(lambda make=make_problem: make(seed + TUNING, 32), grids, **how)
        contestants = {"rule": rule} | tuned
        rows[name] = compare(
            contestants, lambda make=make_problem: make(seed + HELD_OUT, 64), **how
        )
        print(name, {k: v["updates"] for k, v in rows[name].items()}, flush=True)
    return rows


def transfer(seed: int) -> dict:
    """Return how a rule of the chapter's family does elsewhere; baselines are tuned there anew."""
    result = evolve(initial_weights(seed=seed), tabular, ROUNDS, seed=seed)

    def case(worlds: Callable = random_worlds, **changed) -> Callable:
        config = replace(SMALL, **changed)
        return lambda s, agents: tabular(s, agents, config=config, worlds=worlds)

    cases = {
        "the chapter's family": case(),
        "64 hidden units": case(hidden=(64,)),
        "minibatches of 16": case(batch_size=16),
        "20 states": case(lambda rng, n: random_worlds(rng, n, num_states=20)),
        "episodes of 60 steps": lambda s, agents: tabular(s, agents, horizon=60),
        "rewards times 3": case(scaled_worlds),
        "sparse transitions": case(sparse_worlds),
        "GridNav": case(grids),
    }
    how = {"level": -0.9, "num_updates": 600, "score_every": 1}
    return against_baselines(seed, learned(result.weights), cases, **how)


def on_gridnav(seed: int) -> dict:
    """Return how a rule that practised on GridNav does on held-out goals."""

    def worlds(s: int, agents: int = 24) -> Problem:
        return tabular(s, agents, worlds=grids, config=replace(SMALL, epsilon=0.5))

    result = evolve(initial_weights(seed=seed), worlds, ROUNDS, seed=seed)
    how = {"level": -0.9, "num_updates": 400, "score_every": 1}
    return against_baselines(seed, learned(result.weights), {"GridNav": worlds}, **how)


def on_poles(seed: int) -> dict:
    """Return how a rule that practised on cart-poles does on held-out physics, and on wider ones.

    Both are followed for five times as many updates as one truncation holds.
    """
    rounds = replace(
        ROUNDS,
        num_problems=40,
        num_updates=1_800,
        truncation=600,
        score_every=60,
        lr=0.04,
        noise=0.1,
    )
    told = OptimizerConfig(clock=rounds.num_updates)
    result = evolve(initial_weights(told, seed=seed), poles, rounds, told, seed=seed)
    how = {"level": -0.9, "num_updates": 3_000, "score_every": 20}
    cases = {"cart-poles": poles, "wider physics": partial(poles, spread=2.5)}
    rows = against_baselines(seed, learned(result.weights, told), cases, POLE_GRIDS, **how)
    return rows | {"meta_losses": result.losses.tolist()}


PARTS = {
    "trainers": trainers,
    "transfer": transfer,
    "gridnav": on_gridnav,
    "cartpole": on_poles,
}


def main() -> None:
    """Run one part for all seeds and write its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record, start = {}, time.process_time()
    for seed in arguments.seeds:
        record[str(seed)] = PARTS[arguments.part](seed)
        facts = {"arguments": vars(arguments), "seconds": time.process_time() - start}
        write_record(f"meta_dqn_{arguments.part}", facts | {"seeds": record})


if __name__ == "__main__":
    main()
