"""A row of RL²'s table of bandits, 100 pulls: trained from scratch on one thread, and recorded.

The horizon grows in stages: over 100 pulls an untrained network learns next to nothing, over 10 it
soon finds out that arms should be tried and good ones kept. With `--equivariant` the network treats
all arms alike, and needs no stages. With `--luckless` it learns from rewards without their luck,
every pull on a scale of its own, and is still told the rewards themselves.

The record, `rl2_bandits_ARMS.json` beside this file, holds arguments, seconds, versions, the course
of training and the mean return on fresh tasks, in rewards as drawn and with the luck of the tasks
taken out.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch
from report import write_record
from rl2_stages import Stage, train_in_stages

from metarl_lite.algorithms.rl2 import RL2Config, make_net
from metarl_lite.envs.bandits import BernoulliBandits, sample_tasks
from metarl_lite.envs.family import TaskFamily
from metarl_lite.nets import EquivariantActorCritic
from metarl_lite.oracles.bandits import cumulative_regret
from metarl_lite.trials import Trials, episode_returns, play

FIRST_STAGES = (  # (pulls, settings)
    (10, RL2Config(iterations=60, lr=5e-3, final_lr=5e-3)),
    (25, RL2Config(iterations=60, lr=5e-3, final_lr=4e-3)),
    (50, RL2Config(iterations=60, lr=4e-3, final_lr=4e-3)),
    (100, RL2Config(iterations=200, lr=4e-3, final_lr=2e-3)),
)
LAST_STAGES = (  # the discount rises last: it is what makes late rewards count
    (100, RL2Config(iterations=400, lr=2e-3, final_lr=1e-4, gamma=0.97, num_tasks=512)),
    (100, RL2Config(iterations=300, lr=2e-3, final_lr=1e-5, gamma=0.99, num_tasks=1024)),
)
LAST_STAGES_OF_MANY = (  # from ten arms on: longer, and with chance that fades slowly
    (
        100,
        RL2Config(
            iterations=500,
            lr=3e-3,
            final_lr=1e-3,
            gamma=0.99,
            entropy_coef=5e-3,
            final_entropy_coef=2e-3,
            num_tasks=512,
        ),
    ),
    (
        100,
        RL2Config(
            iterations=400,
            lr=1.5e-3,
            final_lr=1e-5,
            gamma=0.995,
            gae_lambda=0.97,
            entropy_coef=2e-3,
            final_entropy_coef=0.0,
            num_tasks=1024,
        ),
    ),
)
EQUIVARIANT_STAGES = ((100, RL2Config(iterations=200, lr=1e-2, final_lr=3e-4, gamma=0.98)),)


def family(num_arms: int, horizon: int) -> TaskFamily:
    """Return Bernoulli bandits of `num_arms` arms and `horizon` pulls."""
    return TaskFamily(
        lambda rng, num_tasks: sample_tasks(rng, num_tasks, num_arms=num_arms),
        lambda tasks: BernoulliBandits(tasks, horizon=horizon),
    )


def luckless(means: np.ndarray, trials: Trials) -> torch.Tensor:
    """Return minus the regret of every pull, (time, task), to learn from in place of its reward.

    Given what was done so far, a reward differs from its arm's mean by chance alone, and the best
    arm's mean depends on no action: the policy gradient keeps its expectation and loses noise.
    """
    means = torch.tensor(means, dtype=torch.float32)
    return means.gather(1, trials.action.T).T - means.amax(dim=1)


def measure(net, num_arms: int, horizon: int, *, num_trials: int, seed: int) -> dict:
    """Return mean and standard error over fresh tasks, raw and as optimum less regret.

    The best of k uniform arms pays k / (k + 1) on average, so horizon times that, less the mean
    regret, estimates the same mean return, without the luck of which tasks were drawn.
    """
    means = sample_tasks(np.random.default_rng(seed), num_trials, num_arms=num_arms)
    env = BernoulliBandits(means, horizon=horizon)
    trials = play(net, env, generator=torch.Generator().manual_seed(seed))
    raw = episode_returns(trials)[0]
    regret = cumulative_regret(means, trials.action.numpy().T)[:, -1]
    error = num_trials**-0.5
    return {
        "num_trials": num_trials,
        "mean": horizon * num_arms / (num_arms + 1) - float(regret.mean()),
        "standard_error": float(regret.std()) * error,
        "raw_mean": float(raw.mean()),
        "raw_standard_error": float(raw.std()) * error,
    }


def main() -> None:
    """Train through the stages and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-arms", type=int, default=5)
    parser.add_argument("--equivariant", action="store_true")
    parser.add_argument("--luckless", action="store_true", help="learn from regrets, not rewards")
    parser.add_argument("--seed", type=int, default=2026)
    arguments = parser.parse_args()
    num_arms, seed = arguments.num_arms, arguments.seed
    torch.set_num_threads(1)
    if arguments.equivariant:
        generator = torch.Generator().manual_seed(seed)
        untrained = EquivariantActorCritic(num_arms, generator=generator)
    else:
        untrained = make_net(BernoulliBandits(np.zeros((1, num_arms))), seed=seed)
    stages = FIRST_STAGES + (LAST_STAGES if num_arms < 10 else LAST_STAGES_OF_MANY)
    stages = [
        Stage(
            {"horizon": horizon},
            family(num_arms, horizon),
            replace(config, scale_each_step=arguments.luckless),
            luckless if arguments.luckless else None,
        )
        for horizon, config in (EQUIVARIANT_STAGES if arguments.equivariant else stages)
    ]
    net, record = train_in_stages(untrained, stages, seed=seed)
    held_out = measure(net, num_arms, 100, num_trials=20_000, seed=seed + 1_000_000)
    name = f"rl2_bandits_{'equivariant_' if arguments.equivariant else ''}{num_arms}"
    write_record(name, {"arguments": vars(arguments), "held_out": held_out} | record)


if __name__ == "__main__":
    main()
