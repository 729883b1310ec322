from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, stack_module_state

from metarl_lite.algorithms.maml import (
    MAMLConfig,
    adapt,
    adaptation_losses,
    learn,
    meta_loss,
    mlp_losses,
    top_curvature,
    train,
)
from metarl_lite.nets import mlp, mlp_params


def half_square(params, data):
    return 0.5 * (params["theta"] - data).square().mean()


def small_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double()

    def loss(params, data):
        return (functional_call(net, params, data[..., :1]) - data[..., 1:]).square().mean()

    return loss, {name: p.detach() for name, p in net.named_parameters()}


def tasks(num_tasks=3, num_points=4):
    generator = torch.Generator().manual_seed(1)
    shape = (2, num_tasks, num_points, 2)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def gradient_in_a_loop(loss, params, support, query, config):
    """The same meta-gradient, one task at a time, by autograd without torch.func."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    total = 0.0
    for task_support, task_query in zip(support, query, strict=True):
        adapted = leaves
        for _ in range(config.inner_steps):
            grads = torch.autograd.grad(
                loss(adapted, task_support),
                list(adapted.values()),
                create_graph=not config.first_order,
            )
            adapted = {
                name: p - config.inner_lr * g
                for (name, p), g in zip(adapted.items(), grads, strict=True)
            }
        total = total + loss(adapted, task_query) / len(support)
    grads = torch.autograd.grad(total, list(leaves.values()))
    return dict(zip(leaves, grads, strict=True))


@pytest.mark.parametrize("inner_steps", [0, 1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_a_quadratic_adapts_and_differentiates_as_its_closed_form_says(inner_steps, first_order):
    # gap g = theta - target shrinks by 1 - alpha a step; with target c' the query loss is
    # (c + (1 - alpha)^k g - c')^2 / 2, and d phi / d theta = (1 - alpha)^k, or 1 to first order
    params = {"theta": torch.tensor(3.0)}
    support, query = torch.tensor([[1.0], [-2.0]]), torch.tensor([[0.5], [4.0]])
    config = MAMLConfig(inner_lr=0.1, inner_steps=inner_steps, first_order=first_order)
    shrink = 0.9**inner_steps
    adapted = torch.tensor([1 + shrink * 2, -2 + shrink * 5])
    error = adapted - query[:, 0]
    value = meta_loss(half_square, params, support, query, config)
    slope = grad(lambda p: meta_loss(half_square, p, support, query, config))(params)["theta"]
    torch.testing.assert_close(value, 0.5 * error.square().mean())
    torch.testing.assert_close(slope, error.mean() * (1.0 if first_order else shrink))


@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_the_meta_gradient_is_that_of_a_plain_loop_over_tasks(inner_steps, first_order):
    loss, params = small_net()
    support, query = tasks()
    config = MAMLConfig(inner_lr=0.3, inner_steps=inner_steps, first_order=first_order)
    ours = grad(lambda p: meta_loss(loss, p, support, query, config))(params)
    torch.testing.assert_close(ours, gradient_in_a_loop(loss, params, support, query, config))


def test_the_meta_gradient_is_that_of_finite_differences():
    loss, params = small_net()
    support, query = tasks()
    config = MAMLConfig(inner_lr=0.3, inner_steps=2)
    ours = grad(lambda p: meta_loss(loss, p, support, query, config))(params)
    for name, entry in (("0.weight", (2, 0)), ("2.bias", (0,)), ("0.bias", (4,))):
        sides = []
        for shift in (1e-5, -1e-5):
            moved = {key: p.clone() for key, p in params.items()}
            moved[name][entry] += shift
            sides.append(meta_loss(loss, moved, support, query, config))
        slope = (sides[0] - sides[1]).item() / 2e-5
        assert ours[name][entry].item() == pytest.approx(slope, rel=1e-6)


def test_adapting_leaves_its_arguments_alone():
    loss, params = small_net()
    before = {name: p.clone() for name, p in params.items()}
    adapted = adapt(loss, params, tasks()[0, 0], MAMLConfig())
    torch.testing.assert_close(params, before, rtol=0, atol=0)
    assert all((adapted[name] != before[name]).any() for name in before)


def test_the_adaptation_curve_holds_the_loss_after_each_number_of_steps():
    loss, params = small_net()
    support, query = tasks()
    curve = adaptation_losses(loss, params, support, query, inner_lr=0.2, num_steps=3)
    assert curve.shape == (4, 3)
    for steps in range(4):
        config = MAMLConfig(inner_lr=0.2, inner_steps=steps)
        for i in range(3):
            expected = loss(adapt(loss, params, support[i], config), query[i])
            torch.testing.assert_close(curve[steps, i], expected)


def test_training_follows_adam_on_the_meta_loss_seed_by_seed():
    loss, _ = small_net()
    nets = [nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double() for _ in range(2)]
    params, _ = stack_module_state(nets)
    drawn = []

    def batch(rng, num_tasks):
        drawn.append(torch.from_numpy(rng.normal(size=(2, num_tasks, 4, 2))))
        return tuple(drawn[-1])

    config = MAMLConfig(inner_lr=0.1, tasks_per_batch=3, iterations=4)
    result = train(loss, params, batch, config, seed=5)
    for seed, net in enumerate(nets):
        leaves = dict(net.named_parameters())
        optimizer = torch.optim.Adam(leaves.values(), lr=config.outer_lr)
        for i, data in enumerate(drawn):
            support, query = data[:, 3 * seed : 3 * seed + 3]
            value = meta_loss(loss, leaves, support, query, config)
            assert result.losses[i, seed] == pytest.approx(value.item())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        ours = {name: p[seed] for name, p in result.params.items()}
        torch.testing.assert_close(ours, {name: p.detach() for name, p in leaves.items()})


def test_the_top_curvature_is_the_hessian_s_largest_eigenvalue():
    loss, params = small_net()
    data = tasks()[0, 0]
    names = list(params)

    def flat_loss(theta):
        parts = theta.split([params[name].numel() for name in names])
        shaped = {n: x.view_as(params[n]) for n, x in zip(names, parts, strict=True)}
        return loss(shaped, data)

    matrix = jacrev(grad(flat_loss))(torch.cat([params[name].flatten() for name in names]))
    values = torch.linalg.eigvalsh(matrix)
    largest = values[values.abs().argmax()]
    ours = top_curvature(loss, params, data, num_iterations=300)
    torch.testing.assert_close(ours, largest, rtol=1e-6, atol=0)
    assert top_curvature(half_square, {"theta": torch.tensor(3.0)}, torch.zeros(1)) == 1


def squared_error(num_inputs, params, data):
    return (mlp(params, data[:, :num_inputs]) - data[:, num_inputs:]).square().mean()


@pytest.mark.parametrize("inner_steps", [0, 1])
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("sizes", [(1, 7, 6, 1), (3, 5, 2), (2, 1)])
def test_one_step_without_weights_per_task_is_the_meta_loss_with_its_gradient(
    sizes, first_order, inner_steps
):
    generator = torch.Generator().manual_seed(2)
    params = mlp_params(sizes, num_copies=2, generator=generator)
    params = {name: p.double().requires_grad_() for name, p in params.items()}
    shape = (2, 4, 5, sizes[0] + sizes[-1])  # (seed, task, point, in + out)
    support, query = torch.randn((2, *shape), generator=generator, dtype=torch.float64)
    query = query[:, :, :3]
    config = MAMLConfig(inner_lr=0.3, inner_steps=inner_steps, first_order=first_order)
    ours = mlp_losses(params, support, query, config)
    for seed in range(2):
        copy = {name: p[seed] for name, p in params.items()}
        loss = partial(squared_error, sizes[0])
        expected = meta_loss(loss, copy, support[seed], query[seed], config)
        torch.testing.assert_close(ours[seed], expected)
        for x in zip(
            torch.autograd.grad(ours[seed], list(params.values()), retain_graph=True),
            torch.autograd.grad(expected, list(params.values())),
            strict=True,
        ):
            torch.testing.assert_close(*x)


def test_the_fast_form_refuses_more_than_one_inner_step():
    with pytest.raises(ValueError, match="inner_steps"):
        mlp_losses({}, torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), MAMLConfig(inner_steps=2))


def test_snapshots_are_copies_of_one_training_whose_rate_falls_to_its_share():
    params = mlp_params((1, 3, 1), num_copies=2, generator=torch.Generator().manual_seed(0))

    def batch(rng, num_tasks):
        return tuple(torch.from_numpy(rng.normal(size=(2, num_tasks, 4, 2))).float())

    config = MAMLConfig(iterations=5, final_share=0.2, outer_lr=0.1, tasks_per_batch=2)
    loss = partial(squared_error, 1)
    shots = list(learn(loss, params, batch, config, seed=3, snapshot_every=2))
    fast = train(loss, params, batch, config, seed=3, seed_losses=mlp_losses)
    assert [shot.losses.shape for shot in shots] == [(2, 2), (4, 2), (5, 2)]
    np.testing.assert_allclose(shots[-1].losses, fast.losses, rtol=1e-4)
    torch.testing.assert_close(shots[-1].params, fast.params)
    np.testing.assert_array_equal(shots[0].losses, shots[-1].losses[:2])
    leaves = [torch.nn.Parameter(p.clone()) for p in params.values()]
    optimizer, rng = torch.optim.Adam(leaves), np.random.default_rng(3)
    for i in range(5):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - 0.8 * i / 5)
        data = [x.unflatten(0, (2, 2)) for x in batch(rng, 4)]
        optimizer.zero_grad()
        mlp_losses(dict(zip(params, leaves, strict=True)), *data, config).sum().backward()
        optimizer.step()
    for mine, theirs in zip(fast.params.values(), leaves, strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-4, atol=1e-5)
    assert (shots[0].params["0.weight"] != shots[1].params["0.weight"]).any()


def test_training_tells_when_the_seed_axis_is_missing():
    loss, params = small_net()
    with pytest.raises(ValueError, match="leading axis of copies"):
        train(loss, params, lambda rng, n: (None, None), seed=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("inner_lr", -0.1), ("inner_steps", -1), ("outer_lr", 0.0), ("iterations", 0)),
        *(("first_order", 1), ("final_share", 1.1), ("tasks_per_batch", 2.5)),
    ],
)
def test_a_config_names_the_field_that_is_out_of_its_range(field, value):
    with pytest.raises(ValueError, match=field):
        MAMLConfig(**{field: value})
