"""How an answer's result differs from the expected one, said so that a reader can act on it."""

from inspect import isgenerator
from numbers import Integral, Real
from reprlib import repr as short_repr

import numpy as np
from torch import Tensor

KINDS = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans"}


def describe(value: object) -> str:
    """Return what `value` is, in words: its type, shape and dtype, or the value if it is short."""
    if isinstance(value, np.ndarray):
        return f"a numpy array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, Tensor):
        return f"a torch tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isgenerator(value):
        return "a generator (`yield` where `return` was meant?)"
    if value is None:
        return "None (is a `return` missing?)"
    if callable(value):
        return f"the function `{getattr(value, '__name__', type(value).__name__)}`, not its result"
    return f"the {type(value).__name__} {short_repr(value)}"


def difference(
    got: object, expected: object, *, rtol: float, atol: float, where: str = "the result"
) -> str | None:
    """Return one sentence on the first difference of two nested results, or None where none is.

    Containers, types and shapes come before numbers. Lists stand for tuples and numpy's scalars
    for Python's; any width of float or integer does; NaN equals NaN.
    """
    tolerance = {"rtol": rtol, "atol": atol}
    if isinstance(expected, np.ndarray) and expected.ndim == 0:
        expected = expected[()]
    if isinstance(expected, Tensor | np.ndarray):
        return _array_difference(got, expected, where, tolerance)
    if isinstance(expected, dict | list | tuple):
        return _container_difference(got, expected, where, tolerance)
    if isinstance(got, np.ndarray) and got.ndim == 0:
        got = got[()]
    if isinstance(expected, Real) and not isinstance(expected, bool):
        return _number_difference(got, expected, where, tolerance)
    if isinstance(expected, bool | np.bool_):
        is_same_type = isinstance(got, bool | np.bool_)
    else:
        is_same_type = isinstance(got, type(expected))
    if not is_same_type:
        return f"{where} should be a {type(expected).__name__}, got {describe(got)}"
    if got != expected:
        return f"{where} should be {short_repr(expected)}, got {short_repr(got)}"
    return None


def _container_difference(got, expected, where: str, tolerance: dict) -> str | None:
    kinds = dict if isinstance(expected, dict) else (list, tuple)
    if not isinstance(got, kinds):
        return f"{where} should be {describe(expected)}, got {describe(got)}"
    if isinstance(expected, dict):
        if set(got) != set(expected):
            return f"{where} should have the keys {list(expected)}, got {list(got)}"
        keys = list(expected)
    else:
        if len(got) != len(expected):
            return f"{where} should have {len(expected)} entries, got {len(got)}"
        keys = range(len(expected))
    for key in keys:
        here = f"entry {key!r} of {where}"
        if problem := difference(got[key], expected[key], where=here, **tolerance):
            return problem
    return None


def _array_difference(got, expected, where: str, tolerance: dict) -> str | None:
    kind = Tensor if isinstance(expected, Tensor) else np.ndarray
    if not isinstance(got, kind):
        return f"{where} should be {describe(expected)}, got {describe(got)}"
    if tuple(got.shape) != tuple(expected.shape):
        return f"{where} should have shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    got_numbers, numbers = _as_numpy(got), _as_numpy(expected)
    wanted = KINDS.get(numbers.dtype.kind, str(expected.dtype))
    if KINDS.get(got_numbers.dtype.kind, str(got.dtype)) != wanted:
        return f"{where} should hold {wanted} (dtype {expected.dtype}), got dtype {got.dtype}"
    wrong = ~np.isclose(got_numbers, numbers, equal_nan=True, **tolerance)
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    at = f" at index {list(index)}" if index else ""
    found, right = got_numbers[index], numbers[index]
    share = f" ({wrong.sum()} of {wrong.size} entries differ)" if wrong.size > 1 else ""
    return f"{where} should be {right:.6g}{at}, got {found:.6g}{share}"


def _number_difference(got, expected, where: str, tolerance: dict) -> str | None:
    wanted = Integral if isinstance(expected, Integral) else Real
    if isinstance(got, bool) or not isinstance(got, wanted):
        hint = ": add `.item()`" if isinstance(got, Tensor) and got.numel() == 1 else ""
        name = "whole number" if wanted is Integral else "number"
        return f"{where} should be a {name}, got {describe(got)}{hint}"
    if np.isclose(got, expected, equal_nan=True, **tolerance):
        return None
    return f"{where} should be {expected:.6g}, got {got:.6g}"


def _as_numpy(array: np.ndarray | Tensor) -> np.ndarray:
    return array.detach().cpu().numpy() if isinstance(array, Tensor) else array
