"""Films of Flappy Bird that a page plays by itself: drawn by code, moved by style alone."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from io import BytesIO

import numpy as np
import pygame

from metarl_lite.envs import flappy_pictures as pictures
from metarl_lite.envs.flappy import BIRD_X, GROUND, HEIGHT, WIDTH, Scene
from metarl_lite.notebook import Shown

FPS = 20  # scenes a second, one a decision
LAST = 30  # scenes' time for which the film stands still at its end
SPACE = 12  # pixels between two games
LABEL = 44  # pixels for what stands over them
STYLE = (
    ".metarl-birds > * {display: block} .metarl-birds > svg {width: 100%; max-width: 46em}"
    " .metarl-birds > style {display: none}"
    " .metarl-birds text {font: bold 40px sans-serif; text-anchor: middle; fill: white;"
    " stroke: #4a3440; stroke-width: 2px}"
    " .metarl-birds .label {font-size: 21px; fill: currentColor; stroke: none}"
    " .metarl-birds:has(.stop:checked) .moves {animation-play-state: paused}"
)
CALM = (  # a reader who prefers no motion sees one moment of it
    "@media (prefers-reduced-motion: reduce)"
    " {.metarl-birds .moves {animation-play-state: paused; animation-delay: -%.2fs !important}}"
)


def bird_film(games: Mapping[str, Sequence[Scene]]) -> Shown:
    """Return a film of games side by side; each is named, and a sequence of scenes, 20 a second.

    A game that is over stands still until the longest one ends; then all begin again. A box stops
    the film. Where the reader prefers no motion it shows the end of the shortest game.
    """
    if not games or not all(games.values()):
        raise ValueError(f"games must hold scenes of each game, got {list(games)}")
    longest, shortest = (pick(map(len, games.values())) for pick in (max, min))
    seconds = (longest + LAST) / FPS
    rules, lanes = [STYLE, CALM % ((shortest - 1) / FPS)], []
    for number, (name, scenes) in enumerate(games.items()):
        moves = _moves(scenes)
        for what, values in moves.items():
            timing = "step-end" if what == "score" else "linear"
            rules.append(_keyframes(f"{what}-{number}", values, longest + LAST))
            rules.append(
                f".{what}-{number} {{animation: {what}-{number} {seconds}s {timing} infinite}}"
            )
        left = number * (WIDTH + SPACE)
        lanes.append(
            f'<text class="label" x="{left + WIDTH / 2}" y="28">{escape(name)}</text>'
            f'<svg x="{left}" y="{LABEL}" width="{WIDTH}" height="{HEIGHT}">'
            f"{_lane(scenes, number)}</svg>"
        )
    width = len(games) * (WIDTH + SPACE) - SPACE
    scores = ", ".join(f"{name}: {scenes[-1].score} pipes" for name, scenes in games.items())
    words = f"{len(games)} games of {longest / FPS:.0f} seconds (a film). {scores}"
    html = (
        f'<div class="metarl-birds"><style>{" ".join(rules)}</style>'
        f'<label><input type="checkbox" class="stop"> stop the film</label>'
        f'<svg viewBox="0 0 {width} {HEIGHT + LABEL}" role="img" aria-label="{escape(words)}">'
        f"{_parts()}{''.join(lanes)}</svg></div>"
    )
    return Shown(words, html)


def _moves(scenes: Sequence[Scene]) -> dict[str, list[str]]:
    """Return the transform of everything that moves, scene by scene."""
    tilts = [np.clip(-7.0 * s.velocity + 4.0, -75.0, 24.0) for s in scenes]
    return {
        "bird": [
            f"translate({BIRD_X}px, {s.y:.1f}px) rotate({-tilt:.0f}deg)"
            for s, tilt in zip(scenes, tilts, strict=True)
        ],
        "world": [f"translateX({-s.travelled:.1f}px)" for s in scenes],
        "hills": [f"translateX({-0.25 * s.travelled:.1f}px)" for s in scenes],
        "score": [f"translateY({-100 * s.score}px)" for s in scenes],
    }


def _keyframes(name: str, values: list[str], length: int) -> str:
    """Return a CSS animation through `values`, one a frame, that stays at the last."""
    kept = [
        (i, value)
        for i, value in enumerate(values)
        if i in (0, len(values) - 1) or not values[i - 1] == value == values[i + 1]
    ]
    kept.append((length, values[-1]))
    frames = " ".join(f"{100 * i / length:.3f}% {{transform: {value}}}" for i, value in kept)
    return f"@keyframes {name} {{{frames}}}"


def _lane(scenes: Sequence[Scene], number: int) -> str:
    """Return the parts of one game, each in a group that the style moves."""
    gap, end = scenes[0].gap, scenes[-1].travelled + WIDTH
    pipes = {round(x + s.travelled): middle for s in scenes for x, middle in s.pipes}
    posts = "".join(
        f'<use href="#upper" x="{x}" y="{middle - gap / 2:.0f}"/>'
        f'<use href="#lower" x="{x}" y="{middle + gap / 2:.0f}"/>'
        for x, middle in sorted(pipes.items())
    )
    ground, hills = (
        "".join(
            f'<use href="#{part}" x="{x}"/>' for x in range(0, int(share * end) + 1, pictures.TILE)
        )
        for part, share in (("ground", 1.0), ("hills", 0.25))
    )
    points = "".join(
        f'<text x="{WIDTH / 2}" y="{70 + 100 * s}">{s}</text>' for s in range(scenes[-1].score + 1)
    )
    return (
        f'<use href="#sky"/><g class="moves hills-{number}">{hills}</g>'
        f'<g class="moves world-{number}">{posts}{ground}</g>'
        f'<g class="moves bird-{number}"><use href="#bird"/></g>'
        f'<svg height="100" width="{WIDTH}"><g class="moves score-{number}">{points}</g></svg>'
    )


@cache
def _parts() -> str:
    """Return the pictures that all games share, each once."""
    hills = pygame.Surface((pictures.TILE, GROUND), pygame.SRCALPHA)
    for layer, top, _ in pictures.landscape():
        hills.blit(layer, (0, top))
    bird, post = pictures.bird(1, 0, False), pictures.pipe(up=True)
    places = {  # picture, and where its corner lies
        "sky": (pictures.sky(), 0, 0),
        "hills": (hills, 0, 0),
        "ground": (pictures.ground(), 0, GROUND),
        "upper": (pictures.pipe(up=False), -post.get_width() / 2, -HEIGHT),
        "lower": (post, -post.get_width() / 2, 0),
        "bird": (bird, -bird.get_width() / 2, -bird.get_height() / 2),
    }
    parts = (
        f'<image id="{name}" href="{_png(surface)}" x="{x}" y="{y}"'
        f' width="{surface.get_width()}" height="{surface.get_height()}"/>'
        for name, (surface, x, y) in places.items()
    )
    return f"<defs>{''.join(parts)}</defs>"


def _png(surface: pygame.Surface) -> str:
    """Return a picture as a data address."""
    pygame.image.save(surface, png := BytesIO(), "picture.png")
    return f"data:image/png;base64,{b64encode(png.getvalue()).decode()}"
