"""Chapter 9's recorded rows: what learns 5-way episodes of Omniglot, and Lake's one-shot challenge.

    python experiments/omniglot.py maml-1 fomaml-1 reptile ...        (no name: all of them)

Trains on both small sets without the held-out alphabets, every character turned and mirrored into
eight, every drawing jittered; tests on 600 episodes of the held-out alphabets. The challenge's
networks train on the small sets whole, which have no alphabet in common with it. Each row writes
`omniglot_ROW.json` beside this file. One thread, on real Omniglot.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import torch
from report import write_record
from torch import Tensor

from metarl_lite.algorithms import few_shot, maml, reptile
from metarl_lite.algorithms.maml import MAMLConfig
from metarl_lite.algorithms.reptile import ReptileConfig
from metarl_lite.convnets import Params, conv_params
from metarl_lite.data import omniglot
from metarl_lite.data.characters import (
    Characters,
    jitter,
    nearest,
    sample_episodes,
    with_symmetries,
)

NUM_EPISODES, QUERIES = 600, 15
SLOWER = {"outer_lr": 5e-3, "final_share": 0.0}  # from here down to 0
ONE = {"tasks_per_batch": 6, "iterations": 1_200} | SLOWER
FIVE = {"tasks_per_batch": 4, "iterations": 1_000} | SLOWER
FIRST = {"first_order": True, "inner_lr": 0.1, "inner_steps": 3, "outer_lr": 2e-3}
ROWS = {
    "maml-1": MAMLConfig(**(ONE | {"inner_lr": 0.4, "iterations": 3_000})),
    "maml-5": MAMLConfig(**(FIVE | {"inner_lr": 0.1, "inner_steps": 2, "iterations": 4_000})),
    "fomaml-1": MAMLConfig(**(ONE | FIRST)),  # large steps of first order diverge
    "fomaml-5": MAMLConfig(**(FIVE | FIRST)),
    "anil-1": MAMLConfig(**ONE),
    "anil-5": MAMLConfig(**FIVE),
    "anil-20way": MAMLConfig(**(ONE | {"tasks_per_batch": 2})),
    "reptile": ReptileConfig(
        inner_lr=1e-3, inner_optimizer="adam", tasks_per_batch=5, iterations=6_000
    ),
    "embedding": few_shot.EmbeddingConfig(iterations=1_200),
    "challenge": few_shot.EmbeddingConfig(iterations=4_000, sharpness=20.0),
}
FILTERS = {"maml-1": 48, "maml-5": 48}  # the others have 32
TEST_STEPS = {"maml-1": 10, "maml-5": 10}  # the first-order rows take 3
ANIL_INNER = {"inner_lr": 0.4, "inner_steps": 5}


def episodes(
    characters: Characters, *, way: int, shots: int
) -> Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]:
    """Return what draws training episodes with three queries a class, every drawing jittered."""

    def sample_batch(rng: np.random.Generator, num_tasks: int) -> tuple[Tensor, Tensor]:
        drawn = sample_episodes(rng, characters, num_tasks, way=way, shots=shots, queries=3)
        return tuple(jitter(rng, images) for images in drawn)

    return sample_batch


def summary(accuracies: np.ndarray) -> dict:
    """Return mean and half of the 95 % interval of the mean over episodes, in per cent."""
    return {
        "accuracy": round(100 * float(accuracies.mean()), 2),
        "half_interval": round(196 * float(accuracies.std()) / len(accuracies) ** 0.5, 2),
        "episodes": len(accuracies),
    }


def test(adapt: Callable[[Tensor], Params], held_out: Characters, *, way: int, shots: int) -> dict:
    """Return the summary of accuracies on the held-out episodes, the same for every row."""
    rng = np.random.default_rng(1)
    support, query = sample_episodes(
        rng, held_out, NUM_EPISODES, way=way, shots=shots, queries=QUERIES
    )
    return summary(few_shot.accuracies(adapt, support, query))


def run_maml(row: str, train: Characters, held_out: Characters, seed: int) -> dict:
    """Return the test of MAML, or of FOMAML, after the inner steps of TEST_STEPS."""
    config, shots = ROWS[row], int(row[-1])
    result = maml.train(
        few_shot.loss,
        conv_params(5, filters=FILTERS.get(row, 32), generator=torch.Generator().manual_seed(seed)),
        episodes(train, way=5, shots=shots),
        config,
        seed=seed,
        progress=True,
    )
    params = {name: p[0] for name, p in result.params.items()}
    steps = MAMLConfig(inner_lr=config.inner_lr, inner_steps=TEST_STEPS.get(row, 3))
    tested = test(
        lambda support: maml.adapt(few_shot.loss, params, support, steps),
        held_out,
        way=5,
        shots=shots,
    )
    return {f"5-way {shots}-shot": tested} | losses(result.losses)


def run_anil(row: str, train: Characters, held_out: Characters, seed: int) -> dict:
    """Return the test of ANIL, which takes five steps on the last layer."""
    way, shots = (20, 1) if row == "anil-20way" else (5, int(row[-1]))

    def adapt(params: Params, support: Tensor) -> Params:
        return few_shot.adapt_head(params, support, **ANIL_INNER)

    def episode_loss(params: Params, episode: Tensor) -> Tensor:
        return few_shot.loss(adapt(params, episode[:, :shots]), episode[:, shots:])

    def whole(rng: np.random.Generator, num_tasks: int) -> tuple[Tensor, Tensor]:
        episode = torch.cat(episodes(train, way=way, shots=shots)(rng, num_tasks), dim=2)
        return episode, episode

    config = MAMLConfig(**(asdict(ROWS[row]) | {"inner_steps": 0}))  # the loss adapts by itself
    params = conv_params(way, generator=torch.Generator().manual_seed(seed))
    result = maml.train(episode_loss, params, whole, config, seed=seed, progress=True)
    params = {name: p[0] for name, p in result.params.items()}
    tested = test(lambda support: adapt(params, support), held_out, way=way, shots=shots)
    return {f"{way}-way {shots}-shot": tested} | losses(result.losses)


def run_reptile(row: str, train: Characters, held_out: Characters, seed: int) -> dict:
    """Return the tests of Reptile; its minibatches are two drawings a class of ten."""
    config = ROWS[row]

    def minibatches(rng: np.random.Generator, num_tasks: int) -> Tensor:
        support, _ = sample_episodes(rng, train, num_tasks, shots=2 * config.inner_steps)
        steps = jitter(rng, support).unflatten(2, (config.inner_steps, 2))
        return steps.transpose(1, 2)  # (task, inner step, way, 2, 28, 28)

    params = conv_params(5, generator=torch.Generator().manual_seed(seed))
    result = reptile.train(few_shot.loss, params, minibatches, config, seed=seed, progress=True)
    params = {name: p[0] for name, p in result.params.items()}
    more_steps = replace(config, inner_steps=20)  # in the test than in training, as in the paper

    def adapt(support: Tensor) -> Params:
        shots = support.shape[1]
        pairs = [support[:, [i % shots, (i + 1) % shots]] for i in range(more_steps.inner_steps)]
        return reptile.adapt(few_shot.loss, params, torch.stack(pairs), more_steps)

    tests = {f"5-way {k}-shot": test(adapt, held_out, way=5, shots=k) for k in (1, 5)}
    return tests | losses(result.losses)


def run_embedding(row: str, train: Characters, held_out: Characters, seed: int) -> dict:
    """Return the tests of nearest neighbours: among supervised features, and among pixels."""
    params = few_shot.train_embedding(train, ROWS[row], seed=seed, progress=True)
    tests = {}
    for way, shots in ((5, 1), (5, 5), (20, 1)):
        rng = np.random.default_rng(1)
        episode = sample_episodes(
            rng, held_out, NUM_EPISODES, way=way, shots=shots, queries=QUERIES
        )
        for name, (support, query) in {
            "features": few_shot.embed(params, *episode),
            "pixels": episode,
        }.items():
            right = nearest(support, query) == torch.arange(way)[:, None]
            tests[f"{way}-way {shots}-shot, {name}"] = summary(
                right.float().mean(dim=(1, 2)).numpy()
            )
    return tests


def run_challenge(row: str, train: Characters, held_out: Characters, seed: int) -> dict:
    """Return the errors in Lake's runs, in per cent, of networks trained on each small set."""
    support, query, answers = omniglot.load_runs()
    errors = {"pixels": challenge_errors(support[:, :, None], query[:, :, None], answers)}
    for splits in (omniglot.SPLITS[:1], omniglot.SPLITS[1:2], omniglot.SPLITS[:2]):
        characters = with_symmetries(omniglot.load(*splits))
        params = few_shot.train_embedding(characters, ROWS[row], seed=seed, progress=True)
        features = few_shot.embed(params, support[:, :, None], query[:, :, None])
        errors[" and ".join(splits)] = challenge_errors(*features, answers)
    return {"errors": errors}


def challenge_errors(support: Tensor, query: Tensor, answers: Tensor) -> list[float]:
    """Return the share of wrong answers of each run, in per cent."""
    wrong = nearest(support, query)[:, :, 0] != answers
    return (100 * wrong.float().mean(dim=1)).round(decimals=1).tolist()


def losses(history: np.ndarray) -> dict:
    """Return the training losses (iteration, 1) as at most 100 means, in nats."""
    parts = np.array_split(history[:, 0], min(100, len(history)))
    return {"losses": [round(float(part.mean()), 4) for part in parts]}


def main() -> None:
    """Run the rows that were asked for, each in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seed", type=int, default=6000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, held_out = omniglot.load().split(omniglot.HELD_OUT)
    runs = {
        **{"maml": run_maml, "fomaml": run_maml, "anil": run_anil},
        **{"reptile": run_reptile, "embedding": run_embedding, "challenge": run_challenge},
    }
    for row in arguments.rows:
        start = time.process_time()
        found = runs[row.split("-")[0]](row, with_symmetries(train), held_out, arguments.seed)
        settings = {"row": row, "seed": arguments.seed, "config": asdict(ROWS[row])}
        settings["filters"] = FILTERS.get(row, 32)
        seconds = round(time.process_time() - start)
        write_record(
            f"omniglot_{row.replace('-', '_')}",
            {"arguments": settings, "cpu_seconds": seconds} | found,
        )
        print(row, found if "errors" not in found else {}, seconds, "s", flush=True)


if __name__ == "__main__":
    main()
