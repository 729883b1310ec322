"""Running what a reader wrote: nothing it raises, prints or changes gets out."""

import copy
import inspect
import io
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
from torch import Tensor

from metarl_lite.exercises.compare import describe, difference


@dataclass(frozen=True)
class Outcome:
    """One run of an answer: its result or its exception, and the arguments it changed."""

    result: Any = None
    error: BaseException | None = None
    changed: tuple[str, ...] = ()


class Clipped(io.TextIOBase):
    """A text stream that keeps the first 600 characters: an answer may print in a loop."""

    text = ""

    def write(self, text: str) -> int:
        """Return the length of `text`, kept or not."""
        self.text += text[: 600 - len(self.text)]
        return len(text)


def run(answer: Callable, names: list[str], arguments: tuple) -> Outcome:
    """Return what `answer` does on a copy of `arguments`, which go by `names`."""
    given = copy.deepcopy(arguments)
    try:
        result = answer(*given)
    except (Exception, SystemExit) as error:
        return Outcome(error=error)
    changed = tuple(
        f"`{name}`"
        for name, now, before in zip(names, given, arguments, strict=False)
        if isinstance(before, np.ndarray | Tensor | list | dict)
        and difference(now, before, rtol=0, atol=0)
    )
    return Outcome(result, changed=changed)


def is_blank(outcome: Outcome) -> bool:
    """Return whether this is what a placeholder does: nothing."""
    if outcome.error:
        return isinstance(outcome.error, NotImplementedError)
    return outcome.result is None or outcome.result is ...


def watched(answer: Any) -> Any:
    """Return `answer` as a behaviour may call it: one that returns nothing is not attempted."""
    if not callable(answer) or inspect.isclass(answer):
        return answer

    @wraps(answer)
    def watched(*args, **kwargs):
        result = answer(*args, **kwargs)
        if result is None or result is ...:
            raise NotImplementedError
        return result

    return watched


def signature_problem(answer: Any, right: Any) -> str | None:
    """Return why `answer` cannot be called as the right one is, or None where it can."""
    if not callable(right):
        return f"This should be an answer, not {describe(answer)}." if callable(answer) else None
    parameters = inspect.signature(right).parameters
    wanted = f"`({', '.join(parameters)})`"
    if not callable(answer):
        return f"This should be a function that takes {wanted}, got {describe(answer)}."
    try:
        inspect.signature(answer).bind(*parameters)
    except TypeError:
        return f"The function should take {wanted}, yours takes `{inspect.signature(answer)}`."
    except ValueError:  # some builtins have no signature to look at
        return None
    return None


def named(error: BaseException | None) -> str:
    """Return an exception's type and message, even where its own `__str__` fails."""
    return "".join(traceback.format_exception_only(error)).strip()


def told(error: BaseException, answer: Any) -> str:
    """Return an exception's type and message, and the reader's own line where it arose."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code and frame.filename == code.co_filename]
    return named(error) + (f", in line {own[-1].lineno}: `{own[-1].line}`" if own else "")


def arguments_in_words(function: Callable, arguments: tuple) -> str:
    """Return the arguments by name; a long one is described instead of printed."""
    words = []
    with np.printoptions(precision=4, threshold=24):
        for name, value in zip(inspect.signature(function).parameters, arguments, strict=False):
            text = f"{value:.6g}" if isinstance(value, float) else " ".join(repr(value).split())
            words.append(
                f"`{name} = {text}`" if len(text) <= 160 else f"`{name}` {describe(value)}"
            )
    return ", ".join(words)
