"""Every exercise of the book: its solution passes, its stub is blank, each mistake is diagnosed."""

import pkgutil
from importlib import import_module

import pytest

from metarl_lite import exercises
from metarl_lite.exercises.exercise import audit, exercises_of

FRAMEWORK = {"answers", "compare", "exercise"}
CHAPTERS = [m.name for m in pkgutil.iter_modules(exercises.__path__) if m.name not in FRAMEWORK]
ALL = {
    f"{chapter}.{name}": an_exercise
    for chapter in CHAPTERS
    for name, an_exercise in exercises_of(import_module(f"{exercises.__name__}.{chapter}")).items()
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ALL)
def test_an_exercise_keeps_its_promises(name, seed):
    assert audit(ALL[name], seed=seed) == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_at_least_four_exercises(chapter):
    assert len([name for name in ALL if name.startswith(f"{chapter}.")]) >= 4


def test_chapters_are_found():
    assert {"mdps", "dqn"} <= set(CHAPTERS)
