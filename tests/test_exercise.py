"""What readers hand in, and what they are told: no answer may break the check itself."""

import re
from types import ModuleType

import numpy as np
import pytest
import torch

from metarl_lite.exercises import exercise
from metarl_lite.exercises.compare import difference
from metarl_lite.exercises.exercise import Exercise, Mutant, Verdict, audit, exercises_of


def placeholder(rewards, gamma):
    """What the notebook starts from."""
    ...


def discounted_return(rewards, gamma):
    return float(np.sum(rewards * gamma ** np.arange(len(rewards))))


def later_by_one(rewards, gamma):
    return float(np.sum(rewards * gamma ** np.arange(1, len(rewards) + 1)))


def make(**changes):
    parts = {
        "title": "The return",
        "stub": placeholder,
        "answer": discounted_return,
        "why": "Reward `t` is weighed by `gamma ** t`.",
        "hints": ("Which weight has the first reward?", "`np.arange` counts <from> 0."),
        "mutants": (
            Mutant(lambda rewards, gamma: float(rewards.sum()), "Nothing is discounted."),
            Mutant(later_by_one, "The first reward is discounted already."),
            Mutant(lambda rewards, gamma: rewards[99], "It reads past the end."),
        ),
        "cases": lambda rng: [(rng.normal(size=n), 0.9) for n in (3, 1, 5)],
    }
    return Exercise(**(parts | changes))


q1 = make()

LETTER = make(
    stub=...,
    answer="C",
    cases=None,
    mutants=(Mutant("A", "Line A is fine: it copies."), Mutant("B", "Line B is never reached.")),
)
NUMBER = make(
    stub=None,
    answer=0.81,
    cases=None,
    mutants=(Mutant(0.9, "That is one step."), Mutant(0.729, "Those are three steps.")),
)


def too_short(make_plan):
    """A behaviour: any plan of 3 steps or more that ends at 0 will do."""
    plan = make_plan(4)
    if len(plan) < 3:
        return "The plan is too short."
    return None if plan[-1] == 0 else "The plan ends elsewhere."


PLAN = make(
    stub=lambda start: None,
    answer=lambda start: [start, 1, 0],
    cases=None,
    behaviour=too_short,
    mutants=(
        Mutant(lambda start: [0], "The plan is too short."),
        Mutant(lambda start: [start, 1, 2], "The plan ends elsewhere."),
    ),
)


def message(answer, an_exercise=q1):
    verdict = an_exercise.judge(answer)
    assert verdict.status == "wrong"
    return verdict.message


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("an_exercise", [q1, LETTER, NUMBER, PLAN])
def test_a_sound_exercise_passes_its_audit(an_exercise, seed):
    assert audit(an_exercise, seed=seed) == []


@pytest.mark.parametrize(
    ("flaw", "problem"),
    [
        ({"answer": lambda rewards, gamma: 1 / 0}, "the answer is judged.*division by zero"),
        ({"stub": lambda rewards, gamma: 0.0}, "the stub is judged"),
        ({"behaviour": lambda answer: "no"}, "the answer is judged.*no"),
        (
            {"mutants": (Mutant(discounted_return, "A"), Mutant(later_by_one, "B"))},
            "the mutant 'A' is judged.*correct",
        ),
        (
            {"mutants": (Mutant(later_by_one, "A"), Mutant(later_by_one, "B"))},
            "the mutant 'B' is judged.*A",
        ),
        ({"cases": lambda rng: [(np.zeros(3), 0.9)]}, "the mutant 'Nothing is discounted.'"),
    ],
)
def test_the_audit_finds_every_planted_flaw(flaw, problem):
    assert re.search(problem, "\n".join(audit(make(**flaw))))


@pytest.mark.parametrize(
    ("flaw", "what"),
    [
        ({"mutants": (Mutant(3, "only one"),)}, "two mutants or more"),
        ({"mutants": (Mutant(3, "same"), Mutant(4, "same"), Mutant(5, "x"))}, "a diagnosis each"),
        ({"hints": ("only one",)}, "two hints or more"),
        ({"hints": "a string is no tuple"}, "two hints or more"),
        ({"hints": ("a", "$x$")}, "dollar"),
        ({"cases": None}, "needs cases or a behaviour"),
    ],
)
def test_an_exercise_with_a_missing_part_is_refused(flaw, what):
    with pytest.raises(ValueError, match=what):
        make(**flaw)


def test_exercises_are_found_by_name_in_a_module():
    module = ModuleType("chapter")
    module.q1, module.q2, module.other = q1, PLAN, 3
    assert exercises_of(module) == {"q1": q1, "q2": PLAN}


# --- attempted?


def not_written(rewards, gamma):
    raise NotImplementedError("to do")


@pytest.mark.parametrize("answer", [None, ..., placeholder, not_written, lambda r, g: ...])
def test_a_placeholder_is_not_attempted_rather_than_wrong(answer):
    assert q1.judge(answer).status == "not attempted"


@pytest.mark.parametrize("answer", [None, ..., lambda start: ..., not_written])
def test_a_placeholder_is_not_attempted_where_only_behaviour_counts(answer):
    an_exercise = PLAN if answer is not not_written else make(behaviour=lambda f: f(1, 2))
    assert an_exercise.judge(answer).status == "not attempted"


# --- wrong numbers get the diagnosis


def test_a_mistake_gets_its_diagnosis_then_the_numbers_and_the_inputs():
    def answer(rewards, gamma):
        return sum(gamma ** (t + 1) * reward for t, reward in enumerate(rewards))

    diagnosis, facts = message(answer).splitlines()
    assert diagnosis == "The first reward is discounted already."
    rewards = np.random.default_rng(0).normal(size=3)
    expected, got = discounted_return(rewards, 0.9), later_by_one(rewards, 0.9)
    assert facts.startswith(f"The result should be {expected:.6g}, got {got:.6g}, for `rewards = ")
    assert "`gamma = 0.9`" in facts


def test_a_mistake_must_agree_with_a_mutant_on_every_case():
    def wrong_in_two_ways(rewards, gamma):
        return later_by_one(rewards, gamma) if len(rewards) > 1 else 7.0

    assert "discounted already" not in message(wrong_in_two_ways)


def test_an_exception_shared_with_a_mutant_gets_its_diagnosis():
    assert message(lambda rewards, gamma: rewards[99]).startswith("It reads past the end.\n")


@pytest.mark.parametrize(
    ("answer", "status", "first_line"),
    [
        ("C", "correct", ""),
        ("A", "wrong", "Line A is fine: it copies."),
        ("D", "wrong", "The result should be 'C', got 'D'"),
        (3, "wrong", "The result should be a str, got the int 3"),
        (len, "wrong", "This should be an answer, not the function `len`, not its result."),
    ],
)
def test_a_constant_is_judged_by_its_value(answer, status, first_line):
    verdict = LETTER.judge(answer)
    assert (verdict.status, verdict.message.partition("\n")[0]) == (status, first_line)


def test_a_number_is_judged_within_the_tolerance():
    assert NUMBER.judge(0.9 * 0.9).status == "correct"
    assert NUMBER.judge(np.float32(0.81)).status == "correct"
    assert message(0.9, NUMBER).startswith("That is one step.")


def test_any_answer_that_behaves_is_correct():
    assert PLAN.judge(lambda start: [start, start, start, 0]).status == "correct"
    assert message(lambda start: [], PLAN) == "The plan is too short."


# --- answers that misbehave


def deep(rewards, gamma):
    return deep(rewards, gamma)


def leaves(rewards, gamma):
    raise SystemExit(3)


def yields(rewards, gamma):
    yield 0.0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda rewards, gamma: rewards / None, "TypeError: unsupported operand"),
        (deep, "RecursionError: maximum recursion depth"),
        (leaves, "SystemExit: 3"),
        (yields, "a generator (`yield` where `return` was meant?)"),
        (lambda rewards: 0.0, "should take `(rewards, gamma)`, yours takes `(rewards)`"),
        (3.0, "a function that takes `(rewards, gamma)`, got the float 3.0"),
        (lambda rewards, gamma: np.nan, "got nan"),
        (lambda rewards, gamma: [0.0], "should be a number, got a list of 1"),
        (lambda rewards, gamma: True, "should be a number, got the bool True"),
        (lambda rewards, gamma: rewards, "a numpy array of shape (3,) and dtype float64"),
        (lambda rewards, gamma: torch.ones(1), "dtype torch.float32: add `.item()`"),
        (lambda rewards, gamma: np.mean, "should be a number, got the function `mean`"),
    ],
)
def test_what_went_wrong_is_told_in_a_verdict(answer, told):
    assert told in message(answer)
    assert "The check failed" not in message(answer)


def test_an_exception_is_told_with_the_readers_own_line():
    def helped(rewards):
        return np.linalg.inv(rewards)  # raises inside numpy

    def answer(rewards, gamma):
        total = 0.0
        return total + helped(rewards)

    assert ": `return np.linalg.inv(rewards)  # raises inside numpy`" in message(answer)


class Hostile(Exception):  # noqa: N818
    """An exception that cannot be printed, raised by a result that cannot be compared."""

    def __str__(self):
        raise RuntimeError("no text")

    def __eq__(self, other):
        raise self

    __hash__ = None
    __repr__ = __str__


def raise_hostile(*args):
    raise Hostile


@pytest.mark.parametrize("answer", [raise_hostile, lambda *args: Hostile()])
def test_even_a_hostile_answer_gets_a_verdict(answer):
    assert "Hostile" in message(answer)


def test_even_a_behaviour_that_breaks_on_an_answer_gives_a_verdict():
    assert "The check failed on this answer: " in message(lambda start: 3, PLAN)


def test_an_interrupt_passes_through():
    def interrupted(rewards, gamma):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        q1.judge(interrupted)


def test_what_an_answer_prints_is_shown_shortened_unless_it_is_correct(capsys):
    def chatty(rewards, gamma):
        for _ in range(2_000):
            print("reward", 1)
        return 0.0

    def right(rewards, gamma):
        print("quiet")
        return discounted_return(rewards, gamma)

    assert "It printed:\nreward 1\nreward 1" in message(chatty)
    assert len(message(chatty)) < 1_000
    assert q1.judge(right) == Verdict("correct", "")
    assert capsys.readouterr().out == ""


def test_warnings_of_an_answer_stay_within_it():
    assert "got nan" in message(lambda rewards, gamma: np.zeros(3).mean() / np.float64(0))


def test_an_answer_cannot_change_the_inputs_of_the_solution_but_is_told():
    def in_place(rewards, gamma):
        rewards *= gamma ** np.arange(len(rewards))
        return rewards.sum()

    verdict = q1.judge(in_place)
    assert verdict.status == "correct"
    assert verdict.message == "It changes its argument in place: `rewards`."


# --- differences in nested results


def differ(got, expected):
    return difference(got, expected, rtol=1e-5, atol=1e-6)


ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1, 1.0),
        (np.array(2.0), 2.0),
        (2.0, np.array(2.0)),
        ([1, (2.0, "x")], (1, [2.0, "x"])),
        ({"b": ONES, "a": 1}, {"a": 1, "b": ONES}),
        (ONES.astype(np.float32), ONES),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf])),
        (np.uint8(3), 3),
        (np.True_, True),
        (torch.ones(2, requires_grad=True), torch.ones(2)),
        (None, None),
        ("C", "C"),
    ],
)
def test_equal_results_show_no_difference(got, expected):
    assert differ(got, expected) is None


@pytest.mark.parametrize(
    ("got", "expected", "told"),
    [
        ([1.0], np.ones(1), "a numpy array of shape (1,) and dtype float64, got a list of 1"),
        (torch.ones(1), np.ones(1), "got a torch tensor of shape (1,)"),
        (np.ones(1), torch.ones(1), "should be a torch tensor"),
        (np.ones((3, 1)), np.ones(3), "should have shape (3,), got (3, 1)"),
        (np.ones(3), np.ones(3, int), "should hold integers (dtype int64), got dtype float64"),
        (torch.ones(3, dtype=int), torch.ones(3), "should hold floats"),
        (np.ones(3, bool), np.ones(3), "should hold floats (dtype float64), got dtype bool"),
        (2.0, 2, "should be a whole number, got the float 2.0"),
        (1, True, "should be a bool, got the int 1"),
        (ONES * [1, 1, 2], ONES, "should be 1 at index [0, 2], got 2 (2 of 6 entries differ)"),
        (ONES * np.nan, ONES, "got nan (6 of 6"),
        ({"a": 1}, {"a": 1, "b": 2}, "should have the keys ['a', 'b'], got ['a']"),
        ((1, 2), (1, 2, 3), "should have 3 entries, got 2"),
        (np.ones(2), (1.0, 1.0), "should be a tuple of 2, got a numpy array"),
        ((1, {"x": 2.5}), (1, {"x": 2.0}), "entry 'x' of entry 1 of the result should be 2, got"),
        (1.0, None, "should be a NoneType, got the float 1.0"),
        ((1, None), (1, 2.0), "got None (is a `return` missing?)"),
    ],
)
def test_a_difference_is_told_in_one_sentence(got, expected, told):
    sentence = differ(got, expected)
    assert told in sentence
    assert "\n" not in sentence


# --- display


def test_check_displays_the_verdict_and_returns_nothing(capsys):
    assert q1.check(discounted_return) is None
    assert q1.check(lambda rewards, gamma: float(rewards.sum())) is None
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [
        "✓ Correct: The return",
        "✗ Not right yet: The return",
        "Nothing is discounted.",
    ]


def test_a_verdict_says_in_words_what_its_colour_says_and_escapes_the_readers_text():
    html = Verdict("wrong", "got <b> & `x < 1`").shown("Q & A").html
    assert "<strong>✗ Not right yet: Q &amp; A</strong>" in html
    assert "<p>got &lt;b&gt; &amp; <code>x &lt; 1</code></p>" in html
    assert 'class="metarl-verdict metarl-verdict-wrong"' in html


def bundles(monkeypatch, show):
    shown = []
    monkeypatch.setattr(exercise, "display", shown.append)
    show()
    (bundle,) = [one._repr_mimebundle_() for one in shown]
    return bundle["text/plain"], bundle["text/html"]


def test_each_hint_is_folded_on_its_own_and_absent_from_plain_text(monkeypatch):
    text, html = bundles(monkeypatch, q1.hint)
    assert text == "2 hints (folded; open in a notebook or the book)"
    assert html.count("<details") == html.count("</details>") == 2
    assert "<summary>Hint 2 of 2</summary><p><code>np.arange</code> counts &lt;from&gt;" in html
    assert " open" not in html


@pytest.mark.parametrize(("an_exercise", "code"), [(q1, "discounted_return"), (NUMBER, "0.81")])
def test_the_solution_is_folded_with_its_reason_and_absent_from_plain_text(
    monkeypatch, an_exercise, code
):
    text, html = bundles(monkeypatch, an_exercise.solution)
    assert text == "Solution (folded; open in a notebook or the book)"
    assert html.startswith('<details class="metarl-folded"><summary>Solution</summary>')
    assert html.endswith("</details>")
    assert "weighed by <code>gamma ** t</code>" in html
    assert code in html
