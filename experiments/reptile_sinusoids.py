"""Reptile and MAML on sinusoids: twenty seeds of the chapter's runs, and the paper's own demo.

Sinusoids have phases in [0, 2 pi), as in the demo of Nichol et al. (2018), and networks 64-64 with
tanh. The record, `reptile_sinusoids.json` beside this file, holds the CPU milliseconds of one
iteration of each learner, measured in turns on one thread, from which the number of iterations at
equal seconds follows; and for every seed the mean over held-out tasks of the squared error after 0
to 32 steps on 10 points, and the mean over seeds of its median over tasks.
"""

import argparse
import time
from dataclasses import asdict

import numpy as np
import torch
from report import write_record
from torch import Tensor

from metarl_lite.algorithms import maml, reptile
from metarl_lite.data.sinusoid import sample_points, sample_tasks
from metarl_lite.nets import mlp, mlp_params

PHASE = (0.0, 2 * np.pi)
REPTILE = reptile.ReptileConfig(tasks_per_batch=3, iterations=4_000)
JOINT = reptile.ReptileConfig(inner_steps=1, tasks_per_batch=15, iterations=1_000)
MAML = maml.MAMLConfig(  # as many gradients as REPTILE: two a task
    inner_lr=0.02, outer_lr=3e-3, tasks_per_batch=10, iterations=3_000
)
DEMO = reptile.ReptileConfig(outer_lr=0.1, tasks_per_batch=1, iterations=30_000)


def loss(params: dict[str, Tensor], data: Tensor) -> Tensor:
    """Return the mean squared error on points (point, 2)."""
    predicted = mlp(params, data[..., :1], activation=torch.tanh)
    return (predicted - data[..., 1:]).square().mean()


def start(num_seeds: int, seed: int) -> dict[str, Tensor]:
    """Return untrained networks, one a seed."""
    generator = torch.Generator().manual_seed(seed)
    return mlp_params((1, 64, 64, 1), num_copies=num_seeds, generator=generator)


def minibatches(num_steps: int) -> reptile.Batch:
    """Return a sampler of tasks with `num_steps` minibatches of 10 points."""

    def sample(rng: np.random.Generator, num_tasks: int) -> Tensor:
        points = sample_points(rng, sample_tasks(rng, num_tasks, phase=PHASE), 10 * num_steps)
        return points.unflatten(1, (num_steps, 10))

    return sample


def support_and_query(rng: np.random.Generator, num_tasks: int) -> tuple[Tensor, Tensor]:
    """Return 10 points and 10 more of each task."""
    return minibatches(2)(rng, num_tasks).unbind(dim=1)


def held_out(params: dict[str, Tensor], *, num_tasks: int = 600, seed: int = 1) -> dict:
    """Return errors after 0 to 32 steps: the mean over tasks (seed, step), the median (step,)."""
    rng = np.random.default_rng(seed)
    tasks = sample_tasks(rng, num_tasks, phase=PHASE)
    support, query = sample_points(rng, tasks, 10), sample_points(rng, tasks, 100)
    errors = np.stack(
        [
            maml.adaptation_losses(
                loss,
                {name: p[i] for name, p in params.items()},
                support,
                query,
                inner_lr=0.02,
                num_steps=32,
            ).numpy()
            for i in range(len(next(iter(params.values()))))
        ]
    )
    return {
        "mean": errors.mean(axis=2).round(4).tolist(),
        "median": np.median(errors, axis=2).mean(axis=0).round(4).tolist(),
    }


def milliseconds_an_iteration(num_seeds: int, *, rounds: int = 15, iterations: int = 40) -> dict:
    """Return the median CPU milliseconds an iteration of each learner, measured in turns."""

    def run(learner: str) -> float:
        module, config, batch = LEARNERS[learner]
        config = type(config)(**asdict(config) | {"iterations": iterations})
        begin = time.process_time()
        module.train(loss, start(num_seeds, 0), batch, config, seed=0)
        return 1_000 * (time.process_time() - begin) / iterations

    taken = [[run(learner) for learner in LEARNERS] for _ in range(rounds + 1)]
    medians = np.median(taken[1:], axis=0)  # the first round warms up
    return dict(zip(LEARNERS, medians.tolist(), strict=True))


LEARNERS = {
    "reptile": (reptile, REPTILE, minibatches(REPTILE.inner_steps)),
    "maml": (maml, MAML, support_and_query),
}


def main() -> None:
    """Measure, train and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=6_000)
    parser.add_argument("--num-seeds", type=int, default=20)
    parser.add_argument("--live-seeds", type=int, default=4, help="seeds of the chapter")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    costs = milliseconds_an_iteration(arguments.live_seeds)
    at_equal_seconds = round(REPTILE.iterations * costs["reptile"] / costs["maml"])
    runs = {
        "Reptile": (*LEARNERS["reptile"],),
        "joint training": (reptile, JOINT, minibatches(1)),
        "MAML, equal gradients": (*LEARNERS["maml"],),
        "MAML, equal seconds": (
            maml,
            maml.MAMLConfig(**asdict(MAML) | {"iterations": at_equal_seconds}),
            support_and_query,
        ),
        "the paper's demo": (reptile, DEMO, minibatches(DEMO.inner_steps)),
    }
    record = {}
    for name, (module, config, batch) in runs.items():
        begin = time.process_time()
        params = start(arguments.num_seeds, arguments.seed)
        result = module.train(loss, params, batch, config, seed=arguments.seed)
        seconds = time.process_time() - begin
        record[name] = {"config": asdict(config), "cpu_seconds": seconds} | held_out(result.params)
        after = {step: np.mean(record[name]["mean"], axis=0)[step] for step in (0, 1, 5, 10, 32)}
        print(name, f"{seconds:.0f} s", {k: round(v, 4) for k, v in after.items()}, flush=True)
    write_record(
        "reptile_sinusoids",
        {"arguments": vars(arguments), "milliseconds_an_iteration": costs, "runs": record},
    )


if __name__ == "__main__":
    main()
