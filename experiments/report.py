"""How the scripts here tell their figures: benchmarks and recorded runs.

A benchmark prints one line a figure and writes the same as JSON under `_build/bench/`; a recorded
run writes one JSON file beside its script, which is committed.
"""

import json
import math
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np


def report(benchmark: str, name: str, *, unit: str, target: str, **measured: list[float]) -> None:
    """Print `name`, the medians of the two measured series and their ratio; write all as JSON.

    `measured` holds exactly two series, ours first: `report(..., ours=[...], gymnasium=[...])`.
    """
    (ours, our_values), (peer, peer_values) = measured.items()
    medians = np.median(our_values), np.median(peer_values)
    ratio = medians[0] / medians[1]
    print(
        f"{name}: {ours} {medians[0]:,.4g} {unit}, {peer} {medians[1]:,.4g} {unit}, "
        f"ratio {ratio:.3f} ({target})",
        flush=True,
    )
    facts = {
        "name": name,
        "unit": unit,
        "target": target,
        "ratio_of_medians": ratio,
        "measured": {who: _finite_or_none(values) for who, values in measured.items()},
    } | _versions("gymnasium", "numpy", "stable-baselines3", "torch")
    path = Path("_build/bench") / f"{benchmark}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")


def write_record(name: str, record: dict) -> None:
    """Write `record`, with the versions it was made with, as `name`.json beside this file."""
    path = Path(__file__).with_name(f"{name}.json")
    path.write_text(json.dumps(record | _versions("gymnasium", "numpy", "torch"), indent=1) + "\n")


def _versions(*packages: str) -> dict:
    versions = {package: version(package) for package in packages}
    return {"versions": versions, "python": platform.python_version()}


def _finite_or_none(values: list[float]) -> list[float | None]:
    """Return `values` with None for what was never reached: JSON knows no infinity."""
    return [value if math.isfinite(value) else None for value in values]
