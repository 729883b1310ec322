import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from metarl_lite.algorithms.learned_optimizer import OptimizerConfig, initial_weights, learned
from metarl_lite.algorithms.meta_training import MetaConfig, backpropagate, evolve, unroll
from metarl_lite.algorithms.optimizers import Problem, follow

TINY = OptimizerConfig(hidden_size=1, lr=0.3, gain=1.0, adam_like=False)
ONE_STEP = {"num_problems": 1, "num_updates": 4, "truncation": 4, "score_every": 1}


def bowls(seed, agents=1, dtype=torch.float32):
    """Return the same two-parameter bowl for every agent: 0.5 (theta - goal)' A (theta - goal)."""
    A = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=dtype)
    goal = torch.tensor([0.5, -1.0], dtype=dtype)

    def loss(theta):
        return 0.5 * ((theta - goal) @ A * (theta - goal)).sum(dim=1)

    return Problem(
        torch.zeros(agents, 2, dtype=dtype),
        torch.zeros(2, dtype=torch.int64),
        lambda theta: ((theta - goal) @ A, loss(theta)),
        loss,
    )


def weights_for(config, dtype=torch.float32):
    weights = initial_weights(config, seed=3).to(dtype)
    generator = torch.Generator().manual_seed(0)
    return weights + 0.2 * torch.randn(len(weights), generator=generator, dtype=dtype)


def meta_gradient(weights, *, second_order, dtype=torch.float32):
    config = MetaConfig(**ONE_STEP, second_order=second_order)
    w = weights.clone().requires_grad_()
    problem = bowls(0, dtype=dtype)
    score = unroll(learned(w, TINY), problem, problem.theta, None, config)[2]
    return torch.autograd.grad(score.mean(), w)[0]


def nudged(weights, nudge=1e-5):
    """Return the meta-gradient by finite differences, in float64."""

    def score(w):
        scores = follow(learned(w, TINY), bowls(0, dtype=torch.float64), 4)[0]
        return scores[1:].mean()

    steps = nudge * torch.eye(len(weights), dtype=torch.float64)
    return torch.stack([(score(weights + e) - score(weights - e)) / (2 * nudge) for e in steps])


def test_the_meta_gradient_with_second_derivatives_is_that_of_finite_differences():
    weights = weights_for(TINY, torch.float64)
    exact = meta_gradient(weights, second_order=True, dtype=torch.float64)
    torch.testing.assert_close(exact, nudged(weights), rtol=1e-5, atol=1e-8)
    dropped = meta_gradient(weights, second_order=False, dtype=torch.float64)
    assert (dropped - exact).norm() > 0.001 * exact.norm()


def one_evolved_direction(weights, *, agents, truncation, persistent):
    """Return the gradient that evolution strategies estimate, from the change of one Adam step."""
    config = MetaConfig(
        num_problems=1,
        num_updates=4,
        truncation=truncation,
        score_every=1,
        noise=0.02,
        persistent=persistent,
        lr=1e-12,
        final_lr=0.0,
    )
    seen = []

    def remember(optimizer, args, kwargs):
        seen.append(optimizer.param_groups[0]["params"][0].grad.clone())

    hook = register_optimizer_step_pre_hook(remember)
    evolve(weights, lambda seed: bowls(seed, agents), config, TINY, seed=1)
    hook.remove()
    return sum(seen) * truncation / 4


@pytest.mark.parametrize("truncation", [4, 2])
def test_evolution_strategies_estimate_the_whole_meta_gradient(truncation):
    weights = weights_for(TINY)
    exact = meta_gradient(weights, second_order=True)
    found = one_evolved_direction(weights, agents=20_000, truncation=truncation, persistent=True)
    assert (found - exact).norm() < 0.1 * exact.norm()


def test_without_persistence_a_truncation_biases_the_estimate():
    weights = weights_for(TINY)
    exact = meta_gradient(weights, second_order=True)
    found = one_evolved_direction(weights, agents=20_000, truncation=2, persistent=False)
    assert (found - exact).norm() > 0.2 * exact.norm()


@pytest.mark.parametrize("train", [evolve, backpropagate])
def test_both_ways_of_meta_training_make_an_optimizer_that_does_better(train):
    config = MetaConfig(num_problems=40, num_updates=8, truncation=4, score_every=1)
    weights = initial_weights(OptimizerConfig(), seed=0)
    result = train(weights, lambda seed: bowls(seed, 16), config, seed=0)
    before, after = (
        follow(learned(w), bowls(0), 8)[0][1:].mean() for w in (weights, result.weights)
    )
    assert after < 0.7 * before
    assert result.losses.shape == (80,)
    again = train(weights, lambda seed: bowls(seed, 16), config, seed=0)
    np.testing.assert_array_equal(result.losses, again.losses)


def test_an_agent_that_diverges_counts_as_bad_and_not_as_nan():
    problem = bowls(0)
    lost = Problem(
        problem.theta, problem.kind, problem.gradient, lambda x: x.sum(dim=1) * torch.nan
    )
    result = evolve(weights_for(TINY), lambda seed: lost, MetaConfig(**ONE_STEP), TINY, seed=0)
    assert result.weights.isfinite().all()
    assert result.losses.tolist() == [10.0]
