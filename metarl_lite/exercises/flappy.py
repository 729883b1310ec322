"""Exercises of chapter 16, the Flappy Bird project."""

import copy
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from torch import nn

from metarl_lite.envs.flappy import (
    GROUND,
    MAX_FALL,
    START_Y,
    FlappyTasks,
    VectorFlappyBird,
    sample_tasks,
)
from metarl_lite.envs.flappy_tasks import TRAINING
from metarl_lite.exercises.exercise import Exercise, Mutant

Controller = Callable[[np.ndarray, np.ndarray], np.ndarray]


def shaped(reward, potential, next_potential, terminated, truncated, gamma):
    """Return the shaped rewards (N,): the optimal policy is the same with them."""
    return reward + gamma * next_potential * ~terminated - potential


def _steps_of_a_game(rng):
    for size in (3, 8):
        ends = np.arange(size) % 3  # 0 goes on, 1 terminated, 2 truncated
        reward, potential, next_potential = rng.normal(size=(3, size))
        yield reward, potential, next_potential, ends == 1, ends == 2, rng.uniform(0.6, 0.9)


def _without_gamma(reward, potential, next_potential, terminated, truncated, gamma):
    return shaped(reward, potential, next_potential, terminated, truncated, 1.0)


def _paid_at_the_end(reward, potential, next_potential, terminated, truncated, gamma):
    return reward + gamma * next_potential - potential


def _sign_turned(reward, potential, next_potential, terminated, truncated, gamma):
    return reward + potential - gamma * next_potential * ~terminated


def _nothing_after_truncation(reward, potential, next_potential, terminated, truncated, gamma):
    return shaped(reward, potential, next_potential, terminated | truncated, truncated, gamma)


q1 = Exercise(
    title="Shape the reward",
    stub=lambda reward, potential, next_potential, terminated, truncated, gamma: None,
    answer=shaped,
    why="Discounted and summed over a game, all potentials but the first cancel: every policy "
    "loses the same number, so the best one stays the best.",
    hints=(
        "What is added is a difference: the potential where the step led, minus that before it.",
        "Write down the discounted sum over three steps. Which factor lets the middle ones cancel?",
        "After a crash nothing comes, so nothing is worth anything there: `* ~terminated`.",
    ),
    mutants=(
        Mutant(_without_gamma, "The discount is missing: the potentials on the way do not cancel."),
        Mutant(
            _paid_at_the_end,
            "A crash is paid with the potential of where it happened: birds will crash high up.",
        ),
        Mutant(
            _sign_turned,
            "The sign is turned round: the best policy stays, but the bird is paid for losing "
            "potential, so it is led away from where it should go.",
        ),
        Mutant(
            _nothing_after_truncation,
            "A truncated game would have gone on, and so does its potential: only a crash ends it.",
        ),
    ),
    cases=_steps_of_a_game,
)


def windy_frame(y, velocity, flaps, gravity, flap, wind):
    """Return (y, velocity), both (N,), one frame later; velocity is the bird's through the air."""
    velocity = np.where(flaps, -flap, np.minimum(velocity + gravity, MAX_FALL))
    return y + velocity + wind, velocity


def _birds_in_the_air(rng):
    for size in (1, 6):
        y, velocity = rng.uniform(100.0, 300.0, size), rng.uniform(-6.0, 9.0, size)
        velocity[0] = MAX_FALL
        yield y, velocity, np.arange(size) % 2 == 1, 0.4, 6.0, float(rng.uniform(0.2, 0.6))


def _wind_as_a_force(y, velocity, flaps, gravity, flap, wind):
    velocity = np.where(flaps, -flap, np.minimum(velocity + gravity + wind, MAX_FALL))
    return y + velocity, velocity


def _wind_kept_in_the_velocity(y, velocity, flaps, gravity, flap, wind):
    y, velocity = windy_frame(y, velocity, flaps, gravity, flap, wind)
    return y, velocity + wind


def _wind_within_the_limit(y, velocity, flaps, gravity, flap, wind):
    _, velocity = windy_frame(y, velocity, flaps, gravity, flap, wind)
    return y + np.minimum(velocity + wind, MAX_FALL), velocity


q2 = Exercise(
    title="Add wind",
    stub=lambda y, velocity, flaps, gravity, flap, wind: None,
    answer=windy_frame,
    why="The air carries the bird along: its place drifts by `wind` a frame, while gravity, flap "
    "and the limit of a fall concern its velocity through the air.",
    hints=(
        "Wind moves the air, and the air moves the bird. Which of the two variables is a place?",
        "First the velocity, as without any wind; then the place moves by velocity plus wind.",
        "`np.where(flaps, -flap, np.minimum(velocity + gravity, MAX_FALL))` is the velocity.",
    ),
    mutants=(
        Mutant(
            _wind_as_a_force,
            "This wind is a force, a second gravity: it should carry the bird, not speed it up.",
        ),
        Mutant(
            _wind_kept_in_the_velocity,
            "The wind stays in the velocity, so it is added anew in each frame and piles up.",
        ),
        Mutant(
            _wind_within_the_limit,
            "`MAX_FALL` limits the fall through the air: the wind comes on top of it.",
        ),
        Mutant(
            lambda y, velocity, flaps, gravity, flap, wind: windy_frame(
                y, velocity, flaps, gravity, flap, -wind
            ),
            "y points down on a screen, and a wind above 0 blows down.",
        ),
    ),
    cases=_birds_in_the_air,
)


def meta_train(net, tasks, play, loader):
    """Return the parameters (P,) of `net` after one Reptile step for each task."""
    meta_optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    for task in tasks:
        learner = copy.deepcopy(net)
        optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
        for _ in range(3):
            states, targets = play(learner, task)
            loss = (learner(states) - targets).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for p, adapted in zip(net.parameters(), learner.parameters(), strict=True):
            p.grad = (p - adapted).detach()
        meta_optimizer.step()
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def _play(learner, task):
    """Return states (4, 3) and targets (4, 2) of a toy game, which go the way the learner plays."""
    states = torch.linspace(-1.0, 1.0, 12).reshape(4, 3) + task
    with torch.no_grad():
        return states, learner(states).flip(0) + states[:, :2]


def _training_runs(rng):
    for num_tasks in (2, 4):
        net = nn.Linear(3, 2)
        with torch.no_grad():
            for p in net.parameters():
                p.copy_(torch.from_numpy(rng.normal(size=p.shape)))
        loader = [(torch.zeros(4, 3), torch.zeros(4, 2))] * 8
        yield net, rng.normal(size=num_tasks).round(2).tolist(), _play, loader


def _with_bugs(twice: bool, anew: bool, unfilled: bool) -> Callable:
    """Return `meta_train` with some of the mistakes of the broken program."""

    def broken(net, tasks, play, loader):
        meta_optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
        for task in tasks:
            if anew:
                meta_optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
            learner = copy.deepcopy(net)
            optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
            for batch in loader[:3]:
                states, targets = batch if unfilled else play(learner, task)
                loss = (learner(states) - targets).square().mean()
                optimizer.zero_grad()
                loss.backward(retain_graph=True)
                if twice:
                    loss.backward()
                optimizer.step()
            for p, adapted in zip(net.parameters(), learner.parameters(), strict=True):
                p.grad = (p - adapted).detach()
            meta_optimizer.step()
        return nn.utils.parameters_to_vector(net.parameters()).detach()

    return broken


BUGS = (
    "One loss is back-propagated twice, so every inner step is twice as long as it says.",
    "The meta-optimizer is made anew for each task, and its momentum starts from nothing again.",
    "The batches come from a loader that no game fills: nobody has called `play`.",
)

q3 = Exercise(
    title="Find the bugs: a meta-learner that learns nothing",
    stub=lambda net, tasks, play, loader: None,
    answer=meta_train,
    why="The learner starts as a copy of `net`, one backward pass a loss on what `play` returns, "
    "and the way it went is the gradient of a meta-optimizer that lives through all tasks.",
    hints=(
        "Print the parameters of `net` before and after. Which line should have changed them?",
        "Ask of each object where it is made and who reads it: two nets, two optimizers, the data.",
        "`learner = copy.deepcopy(net)`; at the end `p.grad = (p - adapted).detach()` for each "
        "pair of parameters, then `meta_optimizer.step()`.",
        "There are four bugs: two nets that never touch, one backward pass too many, an optimizer "
        "that forgets, data that nobody gathered.",
    ),
    mutants=(
        Mutant(
            lambda net, tasks, play, loader: meta_train(net, [], play, loader),
            "The two nets never touch: whatever the learner learns, `net` is what it was.",
        ),
        *(
            Mutant(
                _with_bugs(*chosen),
                " ".join(text for text, here in zip(BUGS, chosen, strict=True) if here),
            )
            for chosen in product((False, True), repeat=3)
            if any(chosen)
        ),
    ),
    cases=_training_runs,
)


def recoverable(obs, action):
    """Return (2,): the first height sensed, and decisions from the first command to its flap."""
    rises = np.diff(obs[:, 1]) > 0
    return np.array([obs[0, 0], rises.argmax() - action.argmax()])


def openings(*, num_games: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, FlappyTasks]:
    """Return obs (game, 10, 8) and action (game, 9) of beginnings with one flap, and their tasks.

    The flap is commanded in one of the decisions 1 to 4.
    """
    rng = np.random.default_rng(seed)
    tasks = sample_tasks(rng, num_games)
    env, command = VectorFlappyBird(tasks), rng.integers(1, 5, size=num_games)
    action = (np.arange(9) == command[:, None]).astype(int)
    obs = [env.reset(seed=seed)[0]]
    obs += [env.step(a)[0] for a in action.T]
    return np.stack(obs, axis=1), action, tasks


def _identifiability_problem(design):
    """Return what cannot be read from the numbers of `design` by linear regression."""
    obs, action, tasks = openings()
    features = np.array([design(o, a) for o, a in zip(obs, action, strict=True)], dtype=float)
    if features.ndim != 2 or features.shape[1] > 4 or not np.isfinite(features).all():
        return f"At most four finite numbers for each game, please: {features.shape[1:]} came."
    inputs = np.column_stack([features, np.ones(len(features))])
    hidden = np.column_stack([tasks.sensor, tasks.latency])
    fit, test = slice(None, len(obs) // 2), slice(len(obs) // 2, None)
    weights, *_ = np.linalg.lstsq(inputs[fit], hidden[fit], rcond=None)
    missed = (hidden[test] - inputs[test] @ weights).var(axis=0) / hidden[test].var(axis=0)
    sensor, latency = 100 * np.maximum(1 - missed, 0)
    if min(sensor, latency) >= 90:
        return None
    return (
        f"Read from your numbers by a straight line: {sensor:.0f} % of the variance of the "
        f"altimeter's error, {latency:.0f} % of that of the latency. Both need 90 %."
    )


q4 = Exercise(
    title="Design an observation",
    stub=lambda obs, action: None,
    answer=recoverable,
    why="All games begin at one true height, so the first one sensed betrays the altimeter; and "
    "the velocity rises just when a command arrives.",
    hints=(
        "What do you know about the bird at the start of every game, whatever the altimeter says?",
        "`obs[:, 1]` is the velocity, upwards: it falls until a flap arrives. When was it asked?",
        "`np.diff(obs[:, 1]) > 0` shows the rise, `argmax` finds the first True of an array.",
    ),
    mutants=(
        Mutant(
            lambda obs, action: obs[-1, [0, 1, 2, 5]],
            "The last sight is all that a network without memory has, and it tells neither.",
        ),
        Mutant(
            lambda obs, action: obs[0, :1],
            "The altimeter can be read, the latency not: it shows at the first flap, not before.",
        ),
        Mutant(
            lambda obs, action: recoverable(obs, action)[1:],
            "The latency can be read, the altimeter not: think of where every game begins.",
        ),
        Mutant(
            lambda obs, action: [obs[0, 0], recoverable(obs, action)[1] + action.argmax()],
            "The time of the flap counts from the start of the game: count from the command.",
        ),
    ),
    behaviour=_identifiability_problem,
)


def pipes_passed(
    controller: Controller, tasks: FlappyTasks, *, seed: int = 0, max_pipes: int = 20
) -> np.ndarray:
    """Return the pipes (N,) of one game in each task.

    `controller(obs, first)` returns the actions (N,), given what is seen now and what was seen at
    the start of the game, both (N, 8).
    """
    env = VectorFlappyBird(tasks, max_pipes=max_pipes)
    obs, _ = env.reset(seed=seed)
    first, pipes, playing = obs.copy(), np.zeros(len(tasks), dtype=int), np.ones(len(tasks), bool)
    for _ in range(100 * max_pipes):  # a pipe takes at most 96 decisions, at the slowest
        action = controller(obs, first.copy())
        obs, _, terminated, truncated, infos = env.step(action)
        pipes[playing] = infos["score"][playing]
        playing &= ~(terminated | truncated)
        if not playing.any():
            break
    return pipes


def _error(first):
    """Return by how many units of `obs[:, 5]`, 100 pixels, each altimeter reads too high, (N,)."""
    return (first[:, 0] * GROUND - (GROUND - START_Y)) / 100


def heuristic(obs, first):
    """Return actions (N,): flap where the middle of the gap is more than 10 pixels higher."""
    return (obs[:, 5] > 0.1).astype(int)


def steadier(obs, first):
    """Return actions (N,): the altimeter corrected, a look ahead, and no second flap too soon."""
    error = first[:, 0] * 4.32 - 2.16  # what the altimeter reads too high, over 100 pixels
    above = obs[:, 5] + error - 0.3 * obs[:, 1]
    return ((above > 0.1) & (obs[:, 2] > 0.09)).astype(int)


FAMILY_BAR = 6.0  # pipes of 20; the best network without memory comes to 5.9


def _controller_problem(controller):
    """Return how far `controller` is from the bar, and on which birds it fails."""
    tasks = sample_tasks(np.random.default_rng(16), 300)
    pipes = pipes_passed(controller, tasks)
    if pipes.mean() >= FAMILY_BAR:
        return None
    is_true, is_quick = np.abs(tasks.sensor) < 15, tasks.latency <= 3
    return (
        f"It passes {pipes.mean():.1f} pipes of 20 over the family, and should {FAMILY_BAR:.0f}: "
        f"{pipes[is_true & is_quick].mean():.1f} where altimeter and nerves are good, "
        f"{pipes[~is_true & is_quick].mean():.1f} where the altimeter is wrong, "
        f"{pipes[is_true & ~is_quick].mean():.1f} where the nerves are slow."
    )


q5 = Exercise(
    title="Beat the heuristic",
    stub=lambda obs, first: None,
    answer=steadier,
    why="The first height gives the altimeter's error, the velocity says where the bird will be "
    "when the command arrives, and one command is given time to arrive before the next.",
    hints=(
        "`first[:, 0] * 432` is the first height sensed; the true one is 216 pixels.",
        "Flap by where the bird will be: take some of the velocity, `obs[:, 1]`, into account.",
        "`obs[:, 2] * 60` counts the frames since the last command: wait for six of them.",
    ),
    mutants=(
        Mutant(heuristic, "That is the heuristic itself: it believes its altimeter."),
        Mutant(
            lambda obs, first: (obs[:, 5] - _error(first) > 0.1).astype(int),
            "The altimeter's error is counted with the wrong sign: an altimeter that reads too "
            "high makes the gap look too low.",
        ),
        Mutant(
            lambda obs, first: (obs[:, 5] + _error(first) > 0.1).astype(int),
            "The altimeter is put right. What is left are slow nerves: they call for a look ahead.",
        ),
        Mutant(
            lambda obs, first: (obs[:, 5] + _error(first) + 0.3 * obs[:, 1] > 0.1).astype(int),
            "The velocity counts with the wrong sign: a bird that rises needs no flap so soon.",
        ),
    ),
    behaviour=_controller_problem,
)


def _breaking_problem(change):
    """Return why `change`, a pair (name, value), does not break the heuristic."""
    if not isinstance(change, tuple | list) or len(change) != 2 or change[0] not in TRAINING:
        return f"A pair, please: one of {', '.join(TRAINING)}, and its value."
    name, value = change
    low, high = TRAINING[name]
    if not low <= value <= high:
        return f"The family has {name} between {low:g} and {high:g}: {value:g} is not in it."
    tasks = FlappyTasks(**{name: value}).repeat(50)
    pipes = pipes_passed(heuristic, tasks).mean()
    return f"With {name} {value:g} it still passes {pipes:.1f} pipes." if pipes >= 1 else None


q6 = Exercise(
    title="Break it: one number that ends the heuristic",
    stub=...,
    answer=("latency", 8),
    why="A controller that looks again 20 times a second makes up for wind and gravity; a sight "
    "that is wrong, or an action that comes too late, no looking again will mend.",
    hints=(
        "The heuristic measures where the bird is, again and again. What can it not measure?",
        "Two of the eight numbers do it: one concerns what it sees, the other what it does.",
    ),
    mutants=(
        Mutant(
            ("wind", 0.6),
            "Wind blows the bird away, but the heuristic sees where it is and flaps it back.",
        ),
        Mutant(("gap", 115), "A narrower gap leaves less room, and the heuristic needs less."),
        Mutant(("latency", 3), "The right nerve, but a twentieth of a second is not enough."),
        Mutant(("gravity", 0.6), "Stay within the family: outside it anything can be broken."),
    ),
    behaviour=_breaking_problem,
)
