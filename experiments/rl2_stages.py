"""Training in stages, each beginning with the last one's network, and what a record says of it."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import NamedTuple

from metarl_lite.algorithms.rl2 import LearningRewards, RL2Config, train
from metarl_lite.envs.family import TaskFamily
from metarl_lite.nets import RecurrentActorCritic


class Stage(NamedTuple):
    """What one stage learns, from what, and how."""

    label: dict  # what to call it in the record
    family: TaskFamily
    config: RL2Config
    learning_rewards: LearningRewards | None = None


def train_in_stages(
    net: RecurrentActorCritic, stages: Sequence[Stage], *, seed: int
) -> tuple[RecurrentActorCritic, dict]:
    """Return the trained network and the record: seconds, settings, means of 10 iterations each."""
    start, cpu, told = time.perf_counter(), time.process_time(), []
    for number, stage in enumerate(stages):
        result = train(
            net,
            stage.family,
            stage.config,
            seed=seed + number,
            learning_rewards=stage.learning_rewards,
            progress=True,
        )
        net = result.net
        course = result.returns.reshape(-1, 10, stage.config.num_episodes).mean(axis=1)
        told.append(
            stage.label | asdict(stage.config) | {"mean_returns": course.squeeze().tolist()}
        )
        print(f"{stage.label}: {course[-1]} after {time.perf_counter() - start:.0f} s", flush=True)
    return net, {
        "seconds": round(time.perf_counter() - start),
        "cpu_seconds": round(time.process_time() - cpu),
        "stages": told,
    }
