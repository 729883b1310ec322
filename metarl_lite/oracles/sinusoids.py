"""What one function for all sinusoids can reach at best: the joint solution, in closed form."""

import numpy as np

from metarl_lite.checks import check_range, real_array
from metarl_lite.data.sinusoid import X_RANGE


def joint_optimum(
    x: np.ndarray,
    *,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, np.pi),
) -> tuple[np.ndarray, float]:
    """Return (mean, error): the best single function of `x` for all tasks, and its squared error.

    Who does not know the task can do no better than the mean over tasks, E[a] E[sin(x - phase)].
    Its error is the variance of the family around it, averaged over x uniform on [-5, 5].
    """
    check_range("amplitude", amplitude)
    check_range("phase", phase)
    (a, b), (p, q) = amplitude, phase

    def mean(x: np.ndarray) -> np.ndarray:  # both factors are uniform and independent
        return (a + b) / 2 * (np.cos(x - q) - np.cos(x - p)) / (q - p)

    def mean_square(x: np.ndarray) -> np.ndarray:
        sine_squared = 0.5 - (np.sin(2 * (x - p)) - np.sin(2 * (x - q))) / (4 * (q - p))
        return (a * a + a * b + b * b) / 3 * sine_squared

    low, high = X_RANGE
    grid = np.linspace(low, high, 100_001)
    variance = mean_square(grid) - mean(grid) ** 2
    return mean(real_array("x", x)), float(np.trapezoid(variance, grid) / (high - low))
