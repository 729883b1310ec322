import numpy as np
import pytest

from metarl_lite.data.sinusoid import Sinusoids, sample_points, sample_tasks
from metarl_lite.oracles.sinusoids import joint_optimum


def test_a_sinusoid_has_its_amplitude_and_phase():
    tasks = Sinusoids(np.array([2.0, 3.0]), np.array([0.0, np.pi / 2]))
    np.testing.assert_allclose(tasks(np.array([np.pi / 2, np.pi])), [[2, 0], [0, 3]], atol=1e-12)


def test_tasks_and_points_fill_the_paper_s_ranges():
    rng = np.random.default_rng(0)
    tasks = sample_tasks(rng, 20_000)
    points = sample_points(rng, tasks, 3).numpy()
    assert points.shape == (20_000, 3, 2)
    for values, low, high in (
        (tasks.amplitude, 0.1, 5.0),
        (tasks.phase, 0.0, np.pi),
        (points[..., 0], -5.0, 5.0),
    ):
        five_errors = 5 * (high - low) / np.sqrt(12 * values.size)
        assert low <= values.min()
        assert values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=five_errors)
    np.testing.assert_allclose(points[..., 1], tasks(points[..., 0]), atol=1e-5)


@pytest.mark.parametrize("phase", [(0.0, np.pi), (0.5, 1.5)])
def test_the_joint_optimum_is_the_family_s_mean_and_its_error_the_variance(phase):
    rng = np.random.default_rng(1)
    tasks = sample_tasks(rng, 400_000, phase=phase)
    x = rng.uniform(-5, 5, (400_000, 1))
    mean, error = joint_optimum(x, phase=phase)
    squares = (tasks(x) - mean) ** 2
    assert squares.mean() == pytest.approx(error, abs=5 * squares.std() / np.sqrt(400_000))
    at_one = tasks(np.array([1.0]))
    five_errors = 5 * at_one.std() / np.sqrt(400_000)
    assert joint_optimum(1.0, phase=phase)[0] == pytest.approx(at_one.mean(), abs=five_errors)


def test_no_shifted_function_does_better_than_the_joint_optimum():
    rng = np.random.default_rng(2)
    tasks, x = sample_tasks(rng, 50_000), rng.uniform(-5, 5, (50_000, 1))
    mean, _ = joint_optimum(x)
    best = ((tasks(x) - mean) ** 2).mean()
    for other in (mean + 0.3, mean - 0.3, 1.2 * mean, 0.8 * mean):
        assert ((tasks(x) - other) ** 2).mean() > best


@pytest.mark.parametrize(
    ("amplitude", "phase", "what"),
    [
        *(([1.0], [0.0, 1.0], "N,"), (1.0, 2.0, "N,")),
        *((values, [0.0], "amplitude") for values in ([-1.0], [np.nan], ["a"])),
    ],
)
def test_wrong_tasks_are_refused(amplitude, phase, what):
    with pytest.raises(ValueError, match=what):
        Sinusoids(amplitude, phase)


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (1.0, 2.0, 3.0)])
@pytest.mark.parametrize("name", ["amplitude", "phase"])
def test_an_empty_range_is_refused(name, limits):
    with pytest.raises(ValueError, match=name):
        sample_tasks(np.random.default_rng(0), 3, **{name: limits})
    with pytest.raises(ValueError, match=name):
        joint_optimum(0.0, **{name: limits})
