"""Play Flappy Bird in a window: `python -m metarl_lite.play`, or beside an agent with `--agent`.

Space, the up key or a click flaps; 1 to 7 choose physics, R draws some at random; Escape quits. The
agent is the one that `flappy_agent` has saved, or one that is trained first, for about half a
minute. It keeps what it remembers as long as the physics stay. Only the agent needs torch.
"""

import argparse
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

import numpy as np
import pygame

from metarl_lite.envs.flappy import FLOOR, GROUND, HEIGHT, WIDTH, VectorFlappyBird
from metarl_lite.envs.flappy_game import FPS
from metarl_lite.envs.flappy_pictures import OUTLINE
from metarl_lite.envs.flappy_render import draw, text
from metarl_lite.envs.flappy_tasks import PHYSICS, FlappyTasks, sample_tasks

if TYPE_CHECKING:
    from metarl_lite.flappy_agent import Act

FRAME_SKIP = 3  # frames between two decisions of the agent; a person may flap in any
PRESETS = {
    "standard": FlappyTasks(),
    "moon": FlappyTasks(gravity=0.3, flap=5.0, speed=2.0),
    "heavy": FlappyTasks(gravity=0.5, flap=6.5),
    "fast": FlappyTasks(speed=3.0, spacing=220.0),
    "updraught": FlappyTasks(wind=-0.6),
    "slow nerves": FlappyTasks(latency=10),
    "wrong altimeter": FlappyTasks(sensor=50.0),  # fools only the agent: you see the bird
}


class Lane:
    """One bird on the screen, and who plays it: an agent, or a person where `act` is None."""

    def __init__(self, title: str, act: "Act | None", tell: tuple[str, ...]) -> None:
        self.title, self.act, self.tell, self.best = title, act, tell, 0
        self.tasks = None

    def begin(self, tasks: FlappyTasks, seed: int) -> None:
        """Wait at the start of a new game; the same seed brings the same pipes.

        In physics that are not those of the last game, an agent has nothing to remember.
        """
        if tasks is not self.tasks:
            self.tasks, self.memory, self.reward = tasks, None, 0.0
        self.env = VectorFlappyBird(tasks, frame_skip=1, tell=self.tell, autoreset=False)
        self.obs, _ = self.env.reset(seed=seed)
        self.frame, self.running, self.over_for = 0, self.act is not None, 0

    def advance(self, flap: bool) -> None:
        """Play one frame; the agent decides by itself, in every third."""
        if self.over_for or not self.running:
            self.over_for += bool(self.over_for)
            return
        if self.act:
            flap = self.frame % FRAME_SKIP == 0 and self._decide()
        self.obs, reward, crashed, full, info = self.env.step(np.array([int(flap)]))
        self.reward += reward[0]
        self.frame, self.over_for = self.frame + 1, int(crashed[0] or full[0])
        self.best = max(self.best, int(info["score"][0]))

    def _decide(self) -> bool:
        seen = self.obs, np.array([self.reward]), np.array([self.frame == 0])
        actions, self.memory = self.act(*seen, self.memory)
        self.reward = 0.0
        return actions[0] == 1

    def draw(self, surface: pygame.Surface, clock: int) -> None:
        """Draw the bird's world and what is known about it."""
        scene = self.env.scene()
        if not self.running:  # it hovers until the first flap
            hover = 5 * np.sin(clock / 12)
            scene = replace(scene, y=scene.y + hover, since_flap=clock % 30, velocity=0.5)
        elif scene.crashed:
            fallen = min(scene.y + 0.2 * self.over_for**2, FLOOR)
            scene = replace(scene, y=fallen, velocity=scene.velocity + 0.4 * self.over_for)
        draw(surface, scene)
        surface.blit(text(f"{self.title}   best {self.best}", 22), (8, 8))
        for row, line in enumerate(_describe(self.env.tasks)):
            surface.blit(text(line, 18), (8, GROUND + 20 + 18 * row))
        if 0 < self.over_for < 12:
            surface.fill([16 * (12 - self.over_for)] * 3, special_flags=pygame.BLEND_RGB_ADD)


class Game:
    """The lanes side by side, on a canvas of their own; `handle` and `frame` drive it."""

    def __init__(self, agent: "tuple[Act, tuple[str, ...]] | None" = None, *, seed: int = 0):
        self.lanes = [Lane("you", None, ())] + ([Lane("agent", *agent)] if agent else [])
        self.canvas = pygame.Surface((WIDTH * len(self.lanes), HEIGHT))
        self.rng, self.clock, self.quit = np.random.default_rng(seed), 0, False
        self.choose("standard", PRESETS["standard"])

    def choose(self, name: str, tasks: FlappyTasks) -> None:
        """Play these physics from now on."""
        self.name, self.tasks = name, tasks
        self.begin()

    def begin(self) -> None:
        """Begin a new game in every lane, with the same pipes."""
        seed, self.flap = int(self.rng.integers(2**31)), False
        for lane in self.lanes:
            lane.begin(self.tasks, seed)

    def handle(self, event: pygame.event.Event) -> None:
        """Do what a key, a click or the window's cross asks for."""
        key = event.key if event.type == pygame.KEYDOWN else None
        if event.type == pygame.QUIT or key == pygame.K_ESCAPE:
            self.quit = True
        elif event.type == pygame.MOUSEBUTTONDOWN or key in (pygame.K_SPACE, pygame.K_UP):
            self._press()
        elif key == pygame.K_r:
            self.choose("drawn at random", sample_tasks(self.rng, 1))
        elif key is not None and 0 <= key - pygame.K_1 < len(PRESETS):
            name = list(PRESETS)[key - pygame.K_1]
            self.choose(name, PRESETS[name])

    def frame(self) -> None:
        """Play one frame in every lane and draw it."""
        for lane in self.lanes:
            lane.advance(self.flap)
        self.flap, self.clock = False, self.clock + 1
        you, *others = self.lanes
        if not you.running and any(lane.over_for > 1.5 * FPS for lane in others):
            self.begin()  # nobody plays beside the agent: it goes on alone
        for i, lane in enumerate(self.lanes):
            place = pygame.Rect(i * WIDTH, 0, WIDTH, HEIGHT)
            lane.draw(self.canvas.subsurface(place), self.clock)
        self._say()

    def _press(self) -> None:
        """Flap; at the start, that begins the game; at its end, it leads to the next."""
        you = self.lanes[0]
        if you.over_for > FPS // 3:  # not by the flap that came too late
            self.begin()
        elif not you.running:
            self.begin()
            you.running = self.flap = True
        elif not you.over_for:
            self.flap = True

    def _say(self) -> None:
        you = self.lanes[0]
        words = []
        if not you.running:
            words = ["space or click: flap", "1 to 7, R: other physics", "Esc: the end"]
        elif you.over_for > FPS // 3:
            words = ["space: once more", "1 to 7, R: other physics"]
        for x in range(WIDTH, self.canvas.get_width(), WIDTH):
            pygame.draw.line(self.canvas, OUTLINE, (x, 0), (x, HEIGHT), 2)
        name = text(self.name, 28, (255, 236, 160))
        self.canvas.blit(name, name.get_rect(center=(WIDTH // 2, 100)))
        if words:
            card = pygame.Surface((232, 28 * len(words) + 16), pygame.SRCALPHA)
            pygame.draw.rect(card, (*OUTLINE, 150), card.get_rect(), border_radius=12)
            self.canvas.blit(card, card.get_rect(midtop=(WIDTH // 2, 268)))
        for row, line in enumerate(words):
            picture = text(line, 24)
            self.canvas.blit(picture, picture.get_rect(center=(WIDTH // 2, 290 + 28 * row)))


def find_screen() -> tuple[int, int]:
    """Return the screen's width and height; SystemExit, with a clear word, where there is none."""
    try:
        pygame.display.init()
        if pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ:
            raise pygame.error("nothing would show it")
        return pygame.display.get_desktop_sizes()[0]
    except pygame.error as error:
        raise SystemExit(
            f"No screen was found ({error}), and the game needs one: run it on a computer with a "
            "display, not through a plain remote shell or in a container."
        ) from error


def run(game: Game, *, max_frames: int | None = None) -> None:
    """Show `game` until it is quit, 60 frames a second, or for `max_frames`."""
    width, height = game.canvas.get_size()
    scale = np.clip(0.8 * find_screen()[1] / height, 1.0, 2.0)  # larger on a large screen
    window = pygame.display.set_mode((round(scale * width), round(scale * height)))
    pygame.display.set_caption("Flappy Bird")
    clock = pygame.time.Clock()
    while not game.quit and (max_frames is None or game.clock < max_frames):
        for event in pygame.event.get():
            game.handle(event)
        game.frame()
        pygame.transform.smoothscale(game.canvas, window.get_size(), window)
        pygame.display.flip()
        clock.tick(FPS)
    pygame.display.quit()


def _describe(tasks: FlappyTasks) -> tuple[str, ...]:
    """Return the physics in three short lines."""
    value = {name: float(getattr(tasks, name)[0]) for name in PHYSICS}
    return (
        "gravity {gravity:.2f}   flap {flap:.1f}   speed {speed:.1f}".format(**value),
        "gap {gap:.0f}   spacing {spacing:.0f}   wind {wind:+.1f}".format(**value),
        "latency {latency:.0f}   altimeter {sensor:+.0f}".format(**value),
    )


def main(arguments: list[str] | None = None) -> None:
    """Open the game; with `--agent`, beside the saved agent, which is trained where none is."""
    parser = argparse.ArgumentParser(prog="python -m metarl_lite.play", description=__doc__)
    parser.add_argument("--agent", action="store_true", help="play beside an agent")
    parser.add_argument("--seed", type=int, default=None, help="which pipes come")
    options = parser.parse_args(arguments)
    agent = None
    find_screen()  # before any training
    if options.agent:
        try:
            from metarl_lite.flappy_agent import saved_or_trained_agent  # needs torch
        except ImportError as error:
            raise SystemExit(
                f"The agent needs the book's whole environment ({error}): make it with "
                "`make lab`, or play alone."
            ) from error
        try:
            agent = saved_or_trained_agent()
        except ValueError as error:
            raise SystemExit(f"{error}. Remove that file, and another is trained.") from error
    run(Game(agent, seed=np.random.SeedSequence(options.seed).generate_state(1)[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
