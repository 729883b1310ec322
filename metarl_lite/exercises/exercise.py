"""Exercises that check themselves: what was attempted, its shape, its numbers, its behaviour.

An exercise knows its solution and at least two *mutants*: plausible wrong answers, each with the
diagnosis that a reader who makes that mistake should get. A wrong answer that agrees with a mutant
on every case gets the mutant's diagnosis.
"""

import contextlib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from types import ModuleType
from typing import Any

import numpy as np
from IPython.display import display

from metarl_lite.exercises.answers import (
    Clipped,
    Outcome,
    arguments_in_words,
    is_blank,
    named,
    run,
    signature_problem,
    told,
    watched,
)
from metarl_lite.exercises.compare import difference
from metarl_lite.notebook import Shown, code_html, source

NOT_ATTEMPTED, WRONG, CORRECT = "not attempted", "wrong", "correct"
LOOKS = {  # the heading, and the colour of the bar beside it on light and dark pages
    NOT_ATTEMPTED: ("… Not attempted yet", "#7d8590"),
    WRONG: ("✗ Not right yet", "#d1242f"),
    CORRECT: ("✓ Correct", "#1a7f37"),
}


@dataclass(frozen=True)
class Mutant:
    """A plausible wrong answer, and the diagnosis of the mistake behind it."""

    answer: Any
    diagnosis: str


@dataclass(frozen=True)
class Verdict:
    """What a check says: `status` is "not attempted", "wrong" or "correct"."""

    status: str
    message: str

    def shown(self, title: str) -> Shown:
        """Return the verdict as a notebook displays it: told by words and symbol, then colour."""
        heading, colour = LOOKS[self.status]
        heading = f"{heading}: {title}"
        lines = "".join(f"<p>{_html(line)}</p>" for line in self.message.splitlines())
        html = (
            f'<div class="metarl-verdict metarl-verdict-{self.status.replace(" ", "-")}" '
            f'style="border-left: 4px solid {colour}; padding-left: .8em">'
            f"<p><strong>{_html(heading)}</strong></p>{lines}</div>"
        )
        return Shown(f"{heading}\n{self.message}".rstrip(), html)


@dataclass(frozen=True)
class Exercise:
    """One exercise. Its answer is a function, or a constant such as a number or a letter.

    Results are compared with `answer`'s on `cases`, then `behaviour` has a say; a constant with a
    behaviour is judged by that alone. Texts are plain, with `code` in backticks.
    Raises ValueError where a part is missing.
    """

    title: str
    stub: Any  # what the reader starts from: it returns None or ..., or raises NotImplementedError
    answer: Any  # a right one
    why: str  # one sentence on why it is right
    hints: tuple[str, ...]  # from a nudge to nearly the answer, at least two
    mutants: tuple[Mutant, ...]  # at least two
    cases: Callable[[np.random.Generator], Iterable[tuple]] | None = None  # argument tuples
    behaviour: Callable[[Any], str | None] | None = None  # what is wrong with an answer, or None
    rtol: float = 1e-5
    atol: float = 1e-6

    def __post_init__(self) -> None:
        diagnoses = {mutant.diagnosis for mutant in self.mutants}
        if len(diagnoses) < 2 or len(diagnoses) < len(self.mutants):
            raise ValueError(f"{self.title!r} needs two mutants or more, with a diagnosis each")
        if isinstance(self.hints, str) or len(self.hints) < 2:
            raise ValueError(f"{self.title!r} needs two hints or more, got {self.hints!r}")
        if callable(self.answer) and self.cases is None and self.behaviour is None:
            raise ValueError(f"{self.title!r} needs cases or a behaviour to check an answer with")
        if "$" in "".join(self.hints) + self.why:
            raise ValueError(f"{self.title!r}: hints are plain text, without dollar signs")

    def check(self, answer: Any) -> None:
        """Return nothing: display the verdict on `answer`."""
        display(self.judge(answer).shown(self.title))

    def hint(self) -> None:
        """Return nothing: display the hints, each folded on its own."""
        number = len(self.hints)
        folded = "".join(
            _folded(f"Hint {i} of {number}", f"<p>{_html(text)}</p>")
            for i, text in enumerate(self.hints, start=1)
        )
        display(Shown(f"{number} hints (folded; open in a notebook or the book)", folded))

    def solution(self) -> None:
        """Return nothing: display a right answer and why it is right, folded."""
        code = source(self.answer).html if callable(self.answer) else code_html(repr(self.answer))
        folded = _folded("Solution", f"<p>{_html(self.why)}</p>{code}")
        display(Shown("Solution (folded; open in a notebook or the book)", folded))

    def judge(self, answer: Any, *, seed: int = 0) -> Verdict:
        """Return the verdict on `answer`, on random inputs that follow from `seed`.

        An exception in the answer is part of the verdict; only KeyboardInterrupt passes through.
        """
        printed = Clipped()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(action="ignore"):
            try:
                verdict = self._judge(answer, seed)
            except NotImplementedError:
                verdict = _BLANK
            except (Exception, SystemExit) as error:
                verdict = Verdict(WRONG, f"The check failed on this answer: {told(error, answer)}")
        if not printed.text.strip() or verdict.status == CORRECT:
            return verdict
        return Verdict(verdict.status, f"{verdict.message}\nIt printed:\n{printed.text.strip()}")

    def _judge(self, answer: Any, seed: int) -> Verdict:
        if answer is None or answer is ...:
            return _BLANK
        if problem := signature_problem(answer, self.answer):
            return Verdict(WRONG, problem)
        cases = list(self.cases(np.random.default_rng(seed))) if self.cases else []
        outcomes = self._outcomes(answer, cases)
        if outcomes and is_blank(outcomes[0]):
            return _BLANK
        changed = sorted({name for outcome in outcomes for name in outcome.changed})
        note = f"It changes its argument in place: {', '.join(changed)}." if changed else ""
        if problem := self._first_problem(answer, outcomes, cases):
            alike = (m.diagnosis for m in self.mutants if self._agree(outcomes, m.answer, cases))
        elif problem := self._misbehaviour(answer):
            alike = (m.diagnosis for m in self.mutants if self._misbehaviour(m.answer) == problem)
        else:
            return Verdict(CORRECT, note)
        lines = (next(alike, ""), problem, note)
        return Verdict(WRONG, "\n".join(dict.fromkeys(line for line in lines if line)))

    def _outcomes(self, answer: Any, cases: list[tuple]) -> list[Outcome]:
        if callable(self.answer):
            names = list(inspect.signature(self.answer).parameters)
            return [run(answer, names, arguments) for arguments in cases]
        return [] if self.behaviour else [Outcome(answer)]

    def _first_problem(
        self, answer: Any, outcomes: list[Outcome], cases: list[tuple]
    ) -> str | None:
        for i, (got, right) in enumerate(
            zip(outcomes, self._outcomes(self.answer, cases), strict=True)
        ):
            if right.error:
                raise right.error
            inputs = f", for {arguments_in_words(self.answer, cases[i])}" if cases else ""
            if got.error:
                return f"{told(got.error, answer)}{inputs}"
            if problem := self._difference(got.result, right.result):
                return f"{problem[0].upper()}{problem[1:]}{inputs}"
        return None

    def _difference(self, got: Any, expected: Any) -> str | None:
        return difference(got, expected, rtol=self.rtol, atol=self.atol)

    def _agree(self, outcomes: list[Outcome], mutant: Any, cases: list[tuple]) -> bool:
        return all(
            named(one.error) == named(other.error)
            and not self._difference(one.result, other.result)
            for one, other in zip(outcomes, self._outcomes(mutant, cases), strict=True)
        )

    def _misbehaviour(self, answer: Any) -> str | None:
        return self.behaviour(watched(answer)) if self.behaviour else None


_BLANK = Verdict(NOT_ATTEMPTED, "Nothing to check yet: replace the placeholder, return a result.")


def exercises_of(module: ModuleType) -> dict[str, Exercise]:
    """Return the exercises of a module by their names."""
    return {name: x for name, x in vars(module).items() if isinstance(x, Exercise)}


def audit(exercise: Exercise, *, seed: int = 0) -> list[str]:
    """Return what is wrong with an exercise itself: an empty list where it keeps its promises.

    Its answer must be correct, its stub not attempted, and every mutant get its own diagnosis.
    """
    right, stub = (exercise.judge(x, seed=seed) for x in (exercise.answer, exercise.stub))
    problems = [] if right == Verdict(CORRECT, "") else [f"the answer is judged {right}"]
    if stub.status != NOT_ATTEMPTED:
        problems.append(f"the stub is judged {stub}")
    for mutant in exercise.mutants:
        verdict = exercise.judge(mutant.answer, seed=seed)
        if verdict.status != WRONG or verdict.message.splitlines()[0] != mutant.diagnosis:
            problems.append(f"the mutant {mutant.diagnosis!r} is judged {verdict}")
    return problems


def _folded(summary: str, html: str) -> str:
    return f'<details class="metarl-folded"><summary>{summary}</summary>{html}</details>'


def _html(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
