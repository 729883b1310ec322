"""Checks of arguments that every floor shares: a bad value is named, with what would be valid."""

from numbers import Integral

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
