"""Checks of arguments that every floor shares: a bad value is named, with what would be valid."""

from collections.abc import Callable
from dataclasses import fields
from numbers import Integral
from typing import Any

import numpy as np


def check_count(name: str, count: int, *, least: int = 1) -> None:
    """Raise ValueError unless `count` is a whole number of at least `least`."""
    if isinstance(count, bool) or not isinstance(count, Integral) or count < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {count!r}")


def real_array(name: str, values: np.ndarray) -> np.ndarray:
    """Return a read-only float64 copy of `values`; ValueError unless real and finite."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of real numbers: {error}") from error
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if not np.isfinite(array).all():
        first = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise ValueError(f"{name} must be finite, got {array[first]} at index {first}")
    array = array.astype(np.float64)
    array.flags.writeable = False
    return array


def check_range(name: str, limits: tuple[float, float]) -> None:
    """Raise ValueError unless `limits` is (low, high) with low below high."""
    if real_array(name, limits).shape != (2,) or not limits[0] < limits[1]:
        raise ValueError(f"{name} must be (low, high) with low below high, got {limits}")


def check_config(config: Any, **valid: Callable[[Any], bool]) -> None:
    """Raise ValueError naming the first field of a config dataclass that is out of its range.

    A field is what its default is: a whole number of at least 1, a finite number, True or False, a
    tuple of layer sizes. `valid[name]` says which values of it will do; whole numbers then start
    at 0.
    """
    for field in fields(config):
        name, value, kind = field.name, getattr(config, field.name), type(field.default)
        if kind is int:
            check_count(name, value, least=0 if name in valid else 1)
        elif kind is float:
            real_array(name, value)
        elif not isinstance(value, kind):
            raise ValueError(f"{name} must be a {kind.__name__}, got {value!r}")
        for size in value if kind is tuple else ():
            check_count(name, size)
        if name in valid and not valid[name](value):
            raise ValueError(f"{name} is out of its range: {value!r}")


def is_share(value: float) -> bool:
    """Return whether `value` lies in [0, 1]."""
    return 0 <= value <= 1


def is_positive(value: float) -> bool:
    """Return whether `value` is larger than 0."""
    return value > 0


def is_not_negative(value: float) -> bool:
    """Return whether `value` is 0 or larger."""
    return value >= 0
