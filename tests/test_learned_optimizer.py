import math

import pytest
import torch

from metarl_lite.algorithms.learned_optimizer import (
    OptimizerConfig,
    initial_weights,
    learned,
    preprocess,
)
from metarl_lite.algorithms.optimizers import Problem, adam

PLAIN = OptimizerConfig(hidden_size=3, lr=0.1, gain=1.0, adam_like=False)
ADAM_LIKE = OptimizerConfig(hidden_size=3)


def problem_of(theta, kind=None):
    kind = torch.zeros(theta.shape[1], dtype=torch.int64) if kind is None else kind
    return Problem(theta, kind, lambda x: (x, x.sum(dim=1)), lambda x: x.sum(dim=1))


def random_weights(config, *lead, seed=0):
    weights = initial_weights(config, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return weights + 0.3 * torch.randn(*lead, len(weights), generator=generator)


def steps_of(optimizer, problem, gradients):
    memory, steps = optimizer.start(problem), []
    for gradient in gradients:
        step, memory = optimizer.update(gradient, memory)
        steps.append(step)
    return torch.stack(steps)


def gradients(agents, size, updates=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(updates, agents, size, generator=generator)


def test_preprocessing_by_hand():
    tiny = math.exp(-11)
    shown = preprocess(torch.tensor([[math.e, -math.exp(-5), tiny, -tiny]]))
    expected = [[0.1, -0.5, -1.0, -1.0], [1.0, -1.0, math.exp(-1), -math.exp(-1)]]
    torch.testing.assert_close(shown, torch.tensor([expected]), rtol=1e-4, atol=1e-6)


def test_the_plain_form_is_torchs_lstm_cell_run_by_every_coordinate():
    weights, h = random_weights(PLAIN), PLAIN.hidden_size
    shapes = ((4 * h, 2 + h), (4 * h, 1), (2, h), (2, 1))
    parts = weights.split([rows * columns for rows, columns in shapes])
    w, bias, out, out_bias = (x.view(shape) for x, shape in zip(parts, shapes, strict=True))
    order = torch.arange(4 * h).view(4, h)[[0, 1, 3, 2]].flatten()  # torch: in, forget, new, out
    cell = torch.nn.LSTMCell(2, h)
    with torch.no_grad():
        cell.weight_ih.copy_(w[order, :2])
        cell.weight_hh.copy_(w[order, 2:])
        cell.bias_ih.copy_(bias[order, 0])
        cell.bias_hh.zero_()
        given, state, expected = gradients(2, 5), None, []
        for gradient in given:
            inputs = preprocess(gradient).transpose(1, 2).reshape(10, 2)
            state = cell(inputs, state)
            expected.append(0.1 * (state[0] @ out.T + out_bias.T)[:, 0].view(2, 5))
    found = steps_of(learned(weights, PLAIN), problem_of(torch.zeros(2, 5)), given)
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_an_lstm_that_says_nothing_is_an_adam():
    weights = initial_weights(ADAM_LIKE, seed=0)
    sizes = [12 * 9, 12 * 6, 12]
    silent = torch.cat([weights[: sum(sizes)], torch.zeros(len(weights) - sum(sizes))])
    problem, given = problem_of(torch.zeros(2, 5)), gradients(2, 5, updates=9)
    expected = steps_of(adam(ADAM_LIKE.lr, betas=(0.5, 0.95)), problem, given)
    found = steps_of(learned(silent, ADAM_LIKE), problem, given)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", [PLAIN, ADAM_LIKE])
def test_every_coordinate_runs_for_itself(config):
    given, kind = gradients(2, 5), torch.tensor([0, 1, 2, 3, 0])
    order = torch.tensor([3, 1, 0, 4, 2])
    optimizer = learned(random_weights(config), config)
    found = steps_of(optimizer, problem_of(torch.zeros(2, 5), kind), given)
    mixed = steps_of(optimizer, problem_of(torch.zeros(2, 5), kind[order]), given[..., order])
    torch.testing.assert_close(mixed, found[..., order])


@pytest.mark.parametrize("config", [PLAIN, ADAM_LIKE])
def test_agents_with_weights_of_their_own_never_mix(config):
    given, weights = gradients(3, 5), random_weights(config, 3)
    together = steps_of(learned(weights, config), problem_of(torch.zeros(3, 5)), given)
    for i in range(3):
        one = learned(weights[i], config)
        alone = steps_of(one, problem_of(torch.zeros(1, 5)), given[:, i : i + 1])
        torch.testing.assert_close(together[:, i : i + 1], alone, rtol=1e-4, atol=1e-6)


def test_kind_and_time_matter_in_the_adam_like_form():
    ones = torch.ones(3, 1, 2)
    optimizer = learned(random_weights(ADAM_LIKE), ADAM_LIKE)
    found = steps_of(optimizer, problem_of(torch.zeros(1, 2), torch.tensor([0, 1])), ones)
    assert (found[:, :, 0] != found[:, :, 1]).all()
    assert not torch.allclose(found[0], found[2])


def test_past_its_clock_the_lstm_is_told_no_later_time():
    (gradient,) = gradients(2, 3, updates=1)
    steps = {}
    for clock in (500, 900):
        config = OptimizerConfig(hidden_size=3, clock=clock)
        optimizer = learned(random_weights(config), config)
        memory = optimizer.start(problem_of(gradient))
        for k in (300, 500, 900):
            steps[clock, k] = optimizer.update(gradient, memory._replace(step=k - 1))[0]
    torch.testing.assert_close(steps[500, 900], steps[500, 500])
    assert not torch.allclose(steps[500, 500], steps[500, 300])
    assert not torch.allclose(steps[900, 900], steps[900, 500])
