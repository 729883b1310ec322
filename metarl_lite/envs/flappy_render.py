"""Frames of Flappy Bird: what stays the same is drawn once (`flappy_pictures`) and put in place."""

from functools import cache

import numpy as np
import pygame

from metarl_lite.envs import flappy_pictures as pictures
from metarl_lite.envs.flappy import BIRD_X, GROUND, HEIGHT, PIPE_WIDTH, WIDTH, Scene

TILT_STEP = 3  # degrees between two pictures of the bird


def draw(surface: pygame.Surface, scene: Scene) -> None:
    """Draw the whole scene on `surface`, 288 x 512, with the score."""
    surface.blit(pictures.sky(), (0, 0))
    for layer, top, speed in pictures.landscape():
        _blit_tiled(surface, layer, top, scene.travelled * speed)
    for x, middle in scene.pipes:
        left = round(x) - PIPE_WIDTH // 2 - pictures.CAP_EDGE
        surface.blit(pictures.pipe(up=False), (left, round(middle - scene.gap / 2) - HEIGHT))
        surface.blit(pictures.pipe(up=True), (left, round(middle + scene.gap / 2)))
    _blit_tiled(surface, pictures.ground(), GROUND, scene.travelled)
    bird = pictures.bird(_pose(scene), TILT_STEP * round(_tilt(scene) / TILT_STEP), scene.crashed)
    surface.blit(bird, bird.get_rect(center=(BIRD_X, round(scene.y))))
    score = text(str(scene.score), 40)
    surface.blit(score, score.get_rect(center=(WIDTH // 2, 56)))


def picture(scene: Scene) -> np.ndarray:
    """Return the scene as (512, 288, 3) uint8."""
    draw(canvas := _canvas(), scene)
    return np.ascontiguousarray(pygame.surfarray.array3d(canvas).transpose(1, 0, 2))


@cache
def text(words: str, size: int, color: pictures.Color = (255, 255, 255)) -> pygame.Surface:
    """Return `words` with a dark edge, on nothing."""
    pygame.font.init()
    font = pygame.font.Font(None, size)
    edge, face = font.render(words, True, pictures.OUTLINE), font.render(words, True, color)
    wide = 2 if size >= 36 else 1  # of the edge, pixels
    width, height = face.get_size()
    surface = pygame.Surface((width + 2 * wide, height + 2 * wide), pygame.SRCALPHA)
    for x in range(0, 2 * wide + 1, wide):
        for y in range(0, 2 * wide + 1, wide):
            surface.blit(edge, (x, y))
    surface.blit(face, (wide, wide))
    return surface


def _tilt(scene: Scene) -> float:
    """Return the bird's tilt in degrees: nose up as it climbs, down as it falls."""
    return float(np.clip(-7.0 * scene.velocity + 4.0, -75.0, 24.0))


def _pose(scene: Scene) -> int:
    """Return the wing's position: one quick beat after a flap, then it glides, half open."""
    beating = 0 <= scene.since_flap < 3 * pictures.POSES
    return int(scene.since_flap // 3) if beating and not scene.crashed else 1


def _blit_tiled(surface: pygame.Surface, layer: pygame.Surface, top: int, travelled: float) -> None:
    """Put a layer that repeats after TILE pixels where `travelled` pixels have brought it."""
    left = -round(travelled % pictures.TILE)
    surface.blit(layer, (left, top))
    if left + pictures.TILE < WIDTH:
        surface.blit(layer, (left + pictures.TILE, top))


@cache
def _canvas() -> pygame.Surface:
    return pygame.Surface((WIDTH, HEIGHT))
