"""Omniglot (Lake et al. 2015): 1,623 characters of 50 alphabets, each drawn by 20 people.

The archives come from the publisher, github.com/brendenlake/omniglot, and stay in pooch's cache; or
they are read from the folder `omniglot` below the one that METARL_DATA names. Either way an archive
whose SHA-256 is not the publisher's is refused.
"""

import os
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from metarl_lite.data.characters import SIZE, Characters

with warnings.catch_warnings(action="ignore"):  # it would like its progress bars in a notebook
    import pooch

NAME = "Omniglot"
HELD_OUT = ("Sanskrit", "Tagalog")  # alphabets of the small sets that the book keeps for the test
PUBLISHER = "https://github.com/brendenlake/omniglot/raw/master/python/"
# SHA-256 as in tensorflow_datasets/url_checksums/omniglot.txt, and of the publisher's all_runs.zip
ARCHIVES = {
    "images_background_small1": "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
    "images_background_small2": "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
    "images_background": "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
    "images_evaluation": "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
    "all_runs": "437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325",
}
SPLITS = tuple(name.removeprefix("images_") for name in ARCHIVES if name.startswith("images_"))
NUM_RUNS = 20
MARGIN, SMALLEST = 1.2, 30  # of the window around the ink; its least side, in pixels of 105


pooch.get_logger().setLevel("WARNING")  # say what went wrong, not what went well


class Unavailable(OSError):  # noqa: N818, it is a state of the network more than an error
    """Omniglot is neither on this computer nor, at the moment, to be had from its publisher."""


def is_available() -> bool:
    """Return whether the small sets and the one-shot runs are here, or could be downloaded now.

    Raises ValueError where an archive is here or arrives, but is not the publisher's.
    """
    try:
        for name in ("images_background_small1", "images_background_small2", "all_runs"):
            archive(name)
    except Unavailable:
        return False
    return True


def load(*splits: str) -> Characters:
    """Return the characters of `splits`, each of SPLITS; without any, of both small sets.

    A character that two splits share is there once. Raises Unavailable without data or network,
    ValueError for a split that does not exist or a damaged archive.
    """
    drawings: dict[tuple[str, str], Tensor] = {}
    for split in splits or SPLITS[:2]:
        if split not in SPLITS:
            raise ValueError(f"splits are {', '.join(SPLITS)}; got {split!r}")
        drawings = _read_split(archive(f"images_{split}")) | drawings
    keys = sorted(drawings)
    alphabets = np.array([alphabet for alphabet, _ in keys])
    return Characters(torch.stack([drawings[key] for key in keys]), alphabets)


def load_runs() -> tuple[Tensor, Tensor, Tensor]:
    """Return Lake's one-shot runs: support, query (run, 20, 28, 28) and right answers (run, 20).

    In each of the 20 runs the support holds one drawing of each of 20 characters of an alphabet,
    and the query 20 drawings by somebody else; answer i is the place in the support of query i.
    """
    with zipfile.ZipFile(archive("all_runs")) as runs:
        support, query, answers = zip(
            *(_read_run(runs, run) for run in range(1, NUM_RUNS + 1)), strict=True
        )
    return torch.stack(support), torch.stack(query), torch.stack(answers)


def archive(name: str) -> Path:
    """Return the path of the archive `name`, one of ARCHIVES, whose SHA-256 has been checked.

    Raises Unavailable where it is not here and cannot be downloaded, ValueError where what is here
    or what arrived is not the publisher's file.
    """
    if name not in ARCHIVES:
        raise ValueError(f"archives are {', '.join(ARCHIVES)}; got {name!r}")
    if folder := os.environ.get("METARL_DATA"):
        return _checked(Path(folder) / "omniglot" / f"{name}.zip")
    return _downloaded(name)


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise Unavailable(f"METARL_DATA holds no {path}")
    if (found := pooch.file_hash(str(path))) != (right := ARCHIVES[path.stem]):
        raise ValueError(
            f"{path} is damaged or another file: its SHA-256 is {found}, the publisher's {right}; "
            "delete it and copy or download it again"
        )
    return path


def _downloaded(name: str, *, timeout: float = 4.0) -> Path:
    folder = "one-shot-classification/" if name == "all_runs" else ""
    url = f"{PUBLISHER}{folder}{name}.zip"
    try:
        path = pooch.retrieve(
            url,
            known_hash=f"sha256:{ARCHIVES[name]}",
            fname=f"{name}.zip",
            path=Path(pooch.os_cache("metarl-lite")) / "omniglot",
            downloader=pooch.HTTPDownloader(timeout=timeout),
        )
    except OSError as error:  # no network, or the connection broke on the way
        raise Unavailable(f"{name}.zip did not arrive whole from {url}: {error}") from error
    return Path(path)


@cache
def _read_split(path: Path) -> dict[tuple[str, str], Tensor]:
    """Return the drawings (drawing, 28, 28) of each (alphabet, character) of an archive."""
    drawings: dict[tuple[str, str], list[Tensor]] = {}
    with zipfile.ZipFile(path) as images:
        for name in sorted(name for name in images.namelist() if name.endswith(".png")):
            _, alphabet, character, _ = name.split("/")
            drawings.setdefault((alphabet, character), []).append(_read_image(images, name))
    return {key: torch.stack(images) for key, images in drawings.items()}


def _read_run(runs: zipfile.ZipFile, run: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return support, query (20, 28, 28) and answers (20,) of one run.

    Its `class_labels.txt` has one line a query: "run01/test/item01.png run01/training/class04.png".
    """
    lines = runs.read(f"run{run:02d}/class_labels.txt").decode().split("\n")
    pairs = sorted(line.split() for line in lines if line)
    names = sorted(training for _, training in pairs)
    support = [_read_image(runs, name) for name in names]
    query = [_read_image(runs, item) for item, _ in pairs]
    answers = [names.index(training) for _, training in pairs]
    return torch.stack(support), torch.stack(query), torch.tensor(answers)


def _read_image(archive: zipfile.ZipFile, name: str) -> Tensor:
    """Return one drawing (28, 28) in [0, 1], ink 1: centred, and as large as fits with a margin.

    Where on the page people drew, and how large, says nothing about the character.
    """
    with archive.open(name) as file, Image.open(file) as image:
        ink = ImageOps.invert(image.convert("L"))
    left, top, right, bottom = ink.getbbox()
    half = max(right - left, bottom - top, SMALLEST) * MARGIN / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    fine = 4 * SIZE
    window = ink.transform(
        (fine, fine),
        Image.Transform.EXTENT,
        (x - half, y - half, x + half, y + half),
        Image.Resampling.BILINEAR,
    )
    small = window.resize((SIZE, SIZE), Image.Resampling.BOX)
    return torch.from_numpy(np.array(small, dtype=np.float32)) / 255
