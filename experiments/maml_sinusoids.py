"""MAML on sinusoids at the length of Finn et al. (2017): the record behind chapter 7.

All seeds train as one program, three times: MAML, joint pre-training, and the paper's oracle, which
is told amplitude and phase. The trained networks go to `_build/`, where `--evaluate-only` finds
them again; the record is `maml_sinusoids_SHOTS.json` beside this file.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from report import write_record
from torch import Tensor
from torch.func import vmap

from metarl_lite.algorithms.maml import (
    MAMLConfig,
    adapt,
    adaptation_losses,
    mlp_losses,
    top_curvature,
    train,
)
from metarl_lite.data.sinusoid import sample_points, sample_tasks
from metarl_lite.nets import mlp, mlp_params

RATE, CAP = 0.01, 100.0  # alpha; a larger loss, or one that is no number, counts as this
ARMS = {"MAML": 1, "joint": 0, "oracle": 0}  # name -> inner steps


def squared_error(params: dict[str, Tensor], data: Tensor) -> Tensor:
    """Return the mean squared error of one network on one task's data (point, input + 1)."""
    return (mlp(params, data[:, :-1]) - data[:, -1:]).square().mean()


def draw(
    rng: np.random.Generator, num_tasks: int, *, shots: int, told: bool
) -> tuple[Tensor, Tensor]:
    """Return support and query (task, shots, input + 1); `told` adds amplitude and phase to x."""
    tasks = sample_tasks(rng, num_tasks)
    data = sample_points(rng, tasks, 2 * shots)
    if told:
        known = torch.from_numpy(np.stack([tasks.amplitude, tasks.phase], axis=-1)).float()
        known = known[:, None].expand(-1, 2 * shots, -1)
        data = torch.cat([data[..., :1], known, data[..., 1:]], dim=-1)
    return data[:, :shots], data[:, shots:]


def train_arm(arm: str, arguments: argparse.Namespace) -> dict:
    """Return the trained parameters (seed, ...) and the seconds that it took."""
    start, start_cpu = time.perf_counter(), time.process_time()
    told = arm == "oracle"
    generator = torch.Generator().manual_seed(arguments.seed)
    sizes = (3 if told else 1, 40, 40, 1)
    params = mlp_params(sizes, num_copies=arguments.num_seeds, std=0.01, generator=generator)
    config = MAMLConfig(inner_steps=ARMS[arm], iterations=arguments.iterations)
    result = train(
        squared_error,
        params,
        partial(draw, shots=arguments.shots, told=told),
        config,
        seed=arguments.seed,
        seed_losses=mlp_losses,
        progress=True,
    )
    seconds = round(time.perf_counter() - start), round(time.process_time() - start_cpu)
    return {"params": result.params, "seconds": seconds}


def curves(arm: str, params: dict[str, Tensor], arguments: argparse.Namespace) -> dict:
    """Return means and medians (seed, 0..10 steps) of query losses on held-out tasks, capped.

    Beside them stand the mean without the worst percent of tasks, and that of the first 600 tasks.
    """
    rng = np.random.default_rng(arguments.seed + 1)
    found = {"mean": [], "median": [], "mean of 99 %": [], "mean of 600": [], "not finite": []}
    for i in range(arguments.num_seeds):
        data = draw(rng, arguments.num_tasks, shots=arguments.shots, told=arm == "oracle")
        one = {name: p[i] for name, p in params.items()}
        steps = {"inner_lr": RATE, "num_steps": 10}
        losses = adaptation_losses(squared_error, one, *data, **steps)
        found["not finite"].append(int((~losses[10].isfinite()).sum()))
        losses = losses.nan_to_num(nan=CAP).clamp(max=CAP).double()
        found["mean"].append(losses.mean(dim=1).tolist())
        found["median"].append(losses.median(dim=1).values.tolist())
        kept = losses.sort(dim=1).values[:, : int(0.99 * arguments.num_tasks)]
        found["mean of 99 %"].append(kept.mean(dim=1).tolist())
        found["mean of 600"].append(losses[:, :600].mean(dim=1).tolist())
    return {
        name: np.round(x, 4).tolist() if name != "not finite" else x for name, x in found.items()
    }


def divergence(params: dict[str, Tensor], arguments: argparse.Namespace) -> list[dict]:
    """Return for each seed how many tasks diverge within ten steps, and the curvature on some.

    A task diverges if its support loss is larger, or no number, after ten steps. Of up to 100 of
    them, and of 100 others, it is counted on how many the curvature is above the limit of steps,
    2 / alpha, before the first step and after it.
    """
    rng, found = np.random.default_rng(arguments.seed + 2), []
    for i in range(arguments.num_seeds):
        one = {name: p[i] for name, p in params.items()}
        support, _ = draw(rng, arguments.num_tasks, shots=arguments.shots, told=False)

        def after(num_steps: int, rate: float, start: dict[str, Tensor], data: Tensor) -> dict:
            config = MAMLConfig(inner_lr=rate, inner_steps=num_steps)
            return adapt(squared_error, start, data, config)

        def grows(data: Tensor, later_rate: float, one=one) -> Tensor:
            end = after(9, later_rate, after(1, RATE, one, data), data)
            return ~(squared_error(end, data) <= squared_error(one, data))

        def curvature(data: Tensor, one=one) -> Tensor:
            both = (one, after(1, RATE, one, data))
            return torch.stack([top_curvature(squared_error, p, data) for p in both])

        with torch.no_grad():
            bad = vmap(partial(grows, later_rate=RATE))(support)
            halved = vmap(partial(grows, later_rate=RATE / 2))(support)
            measured = {}
            for name, which in (("diverging", bad), ("others", ~bad)):
                some = support[which.nonzero()[:100, 0]]
                over = vmap(curvature)(some) > 2 / RATE if len(some) else some.new_zeros(0, 2)
                measured[name] = {"tasks": len(some), "above the limit": over.sum(dim=0).tolist()}
        counts = {"diverging": int(bad.sum()), "at half the rate": int(halved.sum())}
        found.append(counts | {"measured": measured})
    return found


def main() -> None:
    """Train what is not trained yet, evaluate, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--num-seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=6_000)
    parser.add_argument("--iterations", type=int, default=70_000)
    parser.add_argument("--num-tasks", type=int, default=5_000)
    parser.add_argument("--evaluate-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    stored = Path(f"_build/maml_sinusoids_{arguments.shots}.pt")
    if not arguments.evaluate_only:
        stored.parent.mkdir(exist_ok=True)
        torch.save({arm: train_arm(arm, arguments) for arm in ARMS}, stored)
    trained = torch.load(stored)
    record = {"arguments": vars(arguments), "cap": CAP, "arms": {}}
    for arm, result in trained.items():
        seconds = dict(zip(("wall", "cpu"), result["seconds"], strict=True))
        record["arms"][arm] = curves(arm, result["params"], arguments) | {"seconds": seconds}
        print(arm, np.median(record["arms"][arm]["mean"], axis=0).round(3), flush=True)
    record["divergence"] = divergence(trained["MAML"]["params"], arguments)
    write_record(f"maml_sinusoids_{arguments.shots}", record)


if __name__ == "__main__":
    main()
