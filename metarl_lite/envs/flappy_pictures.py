"""The parts of a Flappy Bird picture, drawn by code with pygame: no sprites, no screen needed.

Each is drawn once, four times too large, scaled down smoothly and kept.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pygame

from metarl_lite.envs.flappy import GROUND, HEIGHT, PIPE_WIDTH, WIDTH

FINE = 4  # pictures are drawn this many times too large
TILE = 2 * WIDTH  # a layer of the landscape repeats after so many pixels
CAP_HEIGHT, CAP_EDGE = 22, 4  # of a pipe's mouth; how much wider than the pipe on either side
POSES = 6  # of the wing, as it beats
OUTLINE = (74, 52, 64)
SKY = ((78, 158, 222), (146, 206, 240), (222, 238, 236), (255, 229, 190))  # top to horizon
PIPE = ((38, 92, 52), (78, 160, 74), (178, 226, 120), (108, 188, 84), (62, 138, 66), (34, 88, 54))
SOIL = ((226, 196, 128), (206, 168, 104), (176, 136, 84))
Color = tuple[int, int, int]


def _fine(size: tuple[int, int], paint: Callable[[pygame.Surface], None], background: Color):
    """Return what `paint` does on a FINE times larger surface, scaled down to `size`.

    Transparent pixels carry the `background` colour, which an edge fades to.
    """
    large = pygame.Surface((size[0] * FINE, size[1] * FINE), pygame.SRCALPHA)
    large.fill((*background, 0))
    paint(large)
    return pygame.transform.smoothscale(large, size)


def _blend(colors: tuple[Color, ...], share: np.ndarray) -> np.ndarray:
    """Return the colours (..., 3) at `share` in [0, 1] of the way through `colors`."""
    places = np.linspace(0, 1, len(colors))
    channels = [np.interp(share, places, channel) for channel in zip(*colors, strict=True)]
    return np.stack(channels, axis=-1)


@cache
def sky() -> pygame.Surface:
    """Return the sky with the glow of a low sun."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT), indexing="ij")
    colors = _blend(SKY, (y / GROUND).clip(0, 1) ** 1.2)
    far = np.hypot(x - 0.74 * WIDTH, y - 0.42 * GROUND)[..., None]
    glow = 0.75 * np.exp(-((far / 95) ** 2)) + 1.0 * (far < 22)
    colors += (np.array([255, 246, 214]) - colors) * glow.clip(0, 1)
    return pygame.surfarray.make_surface(colors.astype(np.uint8))


@cache
def landscape() -> tuple[tuple[pygame.Surface, int, float], ...]:
    """Return (layer, its top, its speed as a share of the pipes'), far to near."""
    return (
        (_clouds(), 40, 0.06),
        (_ridge(150, (168, 188, 222), (206, 216, 232), ((4, 34), (9, 16), (21, 5))), 282, 0.12),
        (_ridge(120, (116, 176, 160), (158, 202, 172), ((3, 22), (7, 12))), 312, 0.25),
        (_ridge(96, (70, 142, 88), (140, 194, 112), ((5, 9), (8, 6)), bushes=30), 336, 0.5),
    )


def _ridge(
    height: int, top: Color, bottom: Color, waves: tuple[tuple[int, int], ...], *, bushes: int = 0
) -> pygame.Surface:
    """Return hills, the sum of `waves` (how often in a tile, how high), with bushes on top."""
    x, y = np.arange(TILE * FINE), np.arange(height * FINE)
    turn = 2 * np.pi * x / len(x)
    hills = sum(high * np.sin(often * turn + often) for often, high in waves) * FINE
    line = hills.copy()
    for i in range(bushes):
        middle, radius = round((i + 0.3 * np.sin(7 * i)) * len(x) / bushes), 13 + 4 * np.sin(3 * i)
        away = (x - middle + len(x) // 2) % len(x) - len(x) // 2  # the tile is a ring
        dome = np.sqrt(np.maximum((radius * FINE) ** 2 - away**2, 0))
        line = np.minimum(line, np.where(dome > 0, hills[middle % len(x)] - dome, line))
    line += 2 * FINE - line.min()
    shade = _blend((top, bottom), y / len(y))[None].repeat(len(x), axis=0)

    def paint(large: pygame.Surface) -> None:
        pygame.surfarray.pixels3d(large)[:] = shade
        pygame.surfarray.pixels_alpha(large)[:] = 255 * (y[None] >= line[:, None])

    return _fine((TILE, height), paint, top)


@cache
def _clouds() -> pygame.Surface:
    puffs = ((-34, 6, 15), (-14, -4, 21), (10, -9, 25), (33, 3, 18), (0, 9, 22), (-24, 9, 14))

    def paint(large: pygame.Surface) -> None:
        for x, y, size in ((70, 60, 0.8), (235, 130, 1.15), (390, 40, 0.65), (500, 100, 0.95)):
            for color, drop in (((214, 228, 242), 4), ((255, 255, 255), 0)):
                for dx, dy, radius in puffs:
                    middle = ((x + dx * size) * FINE, (y + dy * size + drop) * FINE)
                    pygame.draw.circle(large, color, middle, radius * size * FINE)
            below = pygame.Rect(x - 70, y + 16 * size, 140, 60)  # clouds are flat below
            large.fill((255, 255, 255, 0), [FINE * length for length in below])

    clouds = _fine((TILE, 190), paint, (255, 255, 255))
    clouds.set_alpha(215)
    return clouds


@cache
def pipe(*, up: bool) -> pygame.Surface:
    """Return a pipe as high as the screen; its mouth is its top where it stands `up`."""
    full = PIPE_WIDTH + 2 * CAP_EDGE

    def column(width: int, height: int) -> pygame.Surface:
        shade = _blend(PIPE, np.linspace(0, 1, width * FINE))[:, None].repeat(height, axis=1)
        return pygame.surfarray.make_surface(shade.astype(np.uint8))

    def paint(large: pygame.Surface) -> None:
        edge, cap = CAP_EDGE * FINE, CAP_HEIGHT * FINE
        body = pygame.Rect(edge, 0, PIPE_WIDTH * FINE, HEIGHT * FINE)
        large.blit(column(PIPE_WIDTH, HEIGHT * FINE), body)
        pygame.draw.rect(large, OUTLINE, body, 6)
        shadow = pygame.Surface((body.width, 10 * FINE), pygame.SRCALPHA)
        for y in range(10 * FINE):
            shadow.fill((20, 50, 30, round(110 * (1 - y / (10 * FINE)))), (0, y, body.width, 1))
        large.blit(shadow, (edge, cap))
        mouth = pygame.Rect(0, 0, full * FINE, cap)
        large.blit(column(full, cap), mouth)
        pygame.draw.line(large, (206, 240, 150), (8, 10), (full * FINE - 8, 10), 6)
        pygame.draw.rect(large, OUTLINE, mouth, 6, border_radius=10)

    standing = _fine((full, HEIGHT), paint, OUTLINE)
    return standing if up else pygame.transform.flip(standing, False, True)


@cache
def ground() -> pygame.Surface:
    """Return grass over soil."""
    height = HEIGHT - GROUND
    shade = _blend(SOIL, np.linspace(0, 1, height))[None].repeat(TILE, axis=0)
    x, y = np.meshgrid(np.arange(TILE), np.arange(height), indexing="ij")
    grass = np.where(((x + y) % 24 < 12)[..., None], (150, 214, 92), (118, 190, 78))
    shade = np.where((y < 14)[..., None], grass, shade)
    shade[:, :2], shade[:, 2:4], shade[:, 14:17] = OUTLINE, (206, 240, 150), (150, 112, 72)
    rng = np.random.default_rng(4)
    for px, py in zip(
        rng.integers(TILE - 6, size=60), rng.integers(24, height - 3, 60), strict=True
    ):
        shade[px : px + 5, py : py + 2] *= 0.86
    return pygame.surfarray.make_surface(shade.astype(np.uint8))


@cache
def bird(pose: int, tilt: int, crashed: bool) -> pygame.Surface:
    """Return the bird turned by `tilt` degrees, nose up, its wing in one of the POSES."""
    turned = pygame.transform.rotate(_bird_fine(pose, crashed), tilt)
    width, height = turned.get_size()
    return pygame.transform.smoothscale(turned, (width // FINE, height // FINE))


@cache
def _bird_fine(pose: int, crashed: bool) -> pygame.Surface:
    """Return the bird FINE times too large: body, belly, tail, beak, eye, and a wing that beats."""
    surface = pygame.Surface((52 * FINE, 44 * FINE), pygame.SRCALPHA)
    surface.fill((*OUTLINE, 0))

    def oval(color, x, y, width, height):
        place = ((26 + x - width / 2) * FINE, (22 + y - height / 2) * FINE)
        pygame.draw.ellipse(surface, color, (*place, width * FINE, height * FINE))

    def shape(color, *points):
        pygame.draw.polygon(surface, color, [((26 + x) * FINE, (22 + y) * FINE) for x, y in points])

    shape(OUTLINE, (-10, -3), (-21, -8), (-19, 0), (-22, 5), (-10, 5))
    shape((226, 138, 40), (-10, -1), (-19, -5.5), (-17.5, 0), (-19.5, 3), (-10, 3))
    oval(OUTLINE, 0, 0, 35, 27)
    oval((238, 160, 44), 0, 0.3, 32, 24.4)
    oval((252, 200, 64), 0.4, -1.4, 30.5, 21)
    oval((255, 226, 120), 1, -5, 22, 11)
    oval((255, 244, 212), 3, 7, 20, 8.6)
    oval((250, 150, 110), 7, 3.6, 6, 3.6)
    oval(OUTLINE, 9, -4.6, 12.6, 12.6)
    oval((255, 255, 255), 9, -4.6, 10.2, 10.2)
    oval(OUTLINE, 10.8, -4.2, 2 if crashed else 5, 5.4)
    oval((255, 255, 255), 11.6, -5.6, 1.7, 1.7)
    shape(OUTLINE, (12, -1), (24, 2.6), (12, 8.5))
    shape((244, 120, 56), (13, 0.8), (21.6, 2.8), (13, 3.4))
    shape((214, 88, 44), (13, 3.8), (20, 3.6), (13, 6.6))
    lift = (0.0, 3.0, 8.0, 4.0, -5.0, -8.0)[pose]  # of the wing's tip, downwards
    wing = [(-1, -2.5), (-8, -3 + 0.4 * lift), (-17, 1 + lift), (-9, 5 + 0.6 * lift), (-1, 4.5)]
    middle = np.mean(wing, axis=0)
    shape(OUTLINE, *(middle + 1.28 * (np.array(wing) - middle)))
    shape((255, 236, 160), *wing)
    shape((246, 204, 112), wing[1], wing[2], wing[3], (-6, 2 + 0.3 * lift))
    return surface
