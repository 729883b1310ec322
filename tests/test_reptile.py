from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from metarl_lite.algorithms.reptile import ReptileConfig, adapt, train


def half_square(params, data):
    return 0.5 * (params["theta"] - data).square().mean()


def nets_with_loss(num_seeds):
    torch.manual_seed(0)
    nets = [
        nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double()
        for _ in range(num_seeds)
    ]

    def loss(params, data):
        return (functional_call(nets[0], params, data[..., :1]) - data[..., 1:]).square().mean()

    return nets, loss


def draw_normal(*shape):
    """Return a sampler of minibatches (task, *shape) that remembers what it drew."""
    drawn = []

    def batch(rng, num_tasks):
        drawn.append(torch.from_numpy(rng.normal(size=(num_tasks, *shape))))
        return drawn[-1]

    return batch, drawn


def train_by_hand(net, loss, task_batches, config):
    """Reptile with torch.optim on one network, one task after the other; `net` is changed."""
    for i, tasks in enumerate(task_batches):
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        moves = {name: torch.zeros_like(p) for name, p in before.items()}
        for minibatches in tasks:
            net.load_state_dict(before)
            if config.inner_optimizer == "adam":
                inner = torch.optim.Adam(net.parameters(), lr=config.inner_lr, betas=(0.0, 0.999))
            else:
                inner = torch.optim.SGD(net.parameters(), lr=config.inner_lr)
            for minibatch in minibatches:
                inner.zero_grad()
                loss(dict(net.named_parameters()), minibatch).backward()
                inner.step()
            for name, p in net.named_parameters():
                moves[name] += (p.detach() - before[name]) / len(tasks)
        fall = (config.outer_lr - config.final_outer_lr) * i / config.iterations
        net.load_state_dict(
            {name: p + (config.outer_lr - fall) * moves[name] for name, p in before.items()}
        )


def test_a_quadratic_moves_as_its_closed_form_says():
    # each inner step shrinks the gap to its own target by 1 - alpha; epsilon is 0.8, then 0.6
    config = ReptileConfig(
        inner_lr=0.1,
        inner_steps=2,
        outer_lr=0.8,
        final_outer_lr=0.4,
        tasks_per_batch=2,
        iterations=2,
    )
    targets = torch.tensor([[[1.0], [2.0]], [[-3.0], [0.5]]])  # (task, inner step, 1)
    result = train(
        half_square, {"theta": torch.tensor([3.0])}, lambda rng, n: targets, config, seed=0
    )
    theta = 3.0
    for epsilon in (0.8, 0.6):
        ends = [0.81 * theta + 0.09 * a + 0.1 * b for a, b in ((1.0, 2.0), (-3.0, 0.5))]
        theta += epsilon * (np.mean(ends) - theta)
    assert result.params["theta"].item() == pytest.approx(theta)
    after_one = np.array([0.9 * 3.0 + 0.1, 0.9 * 3.0 - 0.3])
    assert result.losses.shape == (2, 1)
    assert result.losses[0, 0] == pytest.approx((0.5 * (after_one - [2.0, 0.5]) ** 2).mean())


@pytest.mark.parametrize("inner_optimizer", ["sgd", "adam"])
def test_training_is_that_of_a_plain_loop_with_a_torch_optimizer_seed_by_seed(inner_optimizer):
    nets, loss = nets_with_loss(2)
    params, _ = stack_module_state(nets)
    batch, drawn = draw_normal(4, 3, 2)
    config = ReptileConfig(
        inner_lr=0.1,
        inner_steps=4,
        inner_optimizer=inner_optimizer,
        outer_lr=0.5,
        tasks_per_batch=3,
        iterations=3,
    )
    result = train(loss, params, batch, config, seed=5)
    for seed, net in enumerate(nets):
        train_by_hand(net, loss, [data[3 * seed : 3 * seed + 3] for data in drawn], config)
        ours = {name: p[seed] for name, p in result.params.items()}
        expected = {name: p.detach() for name, p in net.named_parameters()}
        torch.testing.assert_close(ours, expected)


def test_one_inner_step_is_stochastic_gradient_descent_on_the_mean_loss():
    nets, loss = nets_with_loss(1)
    params, _ = stack_module_state(nets)
    batch, drawn = draw_normal(1, 6, 2)
    config = ReptileConfig(
        inner_lr=0.3,
        inner_steps=1,
        outer_lr=0.5,
        final_outer_lr=0.5,
        tasks_per_batch=4,
        iterations=5,
    )
    result = train(loss, params, batch, config, seed=1)
    joint = {name: p[0].detach() for name, p in params.items()}
    for data in drawn:
        grads = grad(lambda p, data=data: vmap(lambda task: loss(p, task[0]))(data).mean())(joint)
        joint = {name: p - 0.5 * 0.3 * grads[name] for name, p in joint.items()}
    torch.testing.assert_close({name: p[0] for name, p in result.params.items()}, joint)


def test_a_fresh_adam_steps_as_far_as_its_rate_however_steep_the_loss_is():
    config = ReptileConfig(inner_lr=0.25, inner_steps=1, inner_optimizer="adam")
    for scale in (1e-3, 1e3):
        adapted = adapt(
            lambda params, data, scale=scale: scale * half_square(params, data),
            {"theta": torch.tensor([1.0, -1.0], dtype=torch.float64)},
            torch.zeros(1, 1),
            config,
        )
        expected = torch.tensor([0.75, -0.75], dtype=torch.float64)
        torch.testing.assert_close(adapted["theta"], expected, rtol=1e-4, atol=0.0)


def test_adapting_and_training_leave_their_arguments_alone_and_keep_no_graph():
    nets, loss = nets_with_loss(2)
    params, _ = stack_module_state(nets)
    before = {name: p.detach().clone() for name, p in params.items()}
    batch, _ = draw_normal(2, 3, 2)
    config = ReptileConfig(inner_steps=2, tasks_per_batch=2, iterations=1)
    scale = torch.ones((), requires_grad=True)  # a graph would begin here
    result = train(lambda params, data: scale * loss(params, data), params, batch, config, seed=0)
    one = {name: p[0] for name, p in before.items()}
    adapt(loss, one, batch(np.random.default_rng(0), 1)[0], config)
    torch.testing.assert_close({n: p.detach() for n, p in params.items()}, before, rtol=0, atol=0)
    assert not any(p.requires_grad for p in result.params.values())
    assert all((p != before[name]).any() for name, p in result.params.items())


def test_equal_seeds_give_equal_runs_and_other_seeds_other_tasks():
    nets, loss = nets_with_loss(1)
    params, _ = stack_module_state(nets)
    config = ReptileConfig(inner_steps=2, iterations=2)
    runs = [train(loss, params, draw_normal(2, 3, 2)[0], config, seed=s).losses for s in (3, 3, 4)]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).all()


def test_minibatches_must_be_as_many_as_inner_steps():
    nets, loss = nets_with_loss(1)
    params, _ = stack_module_state(nets)
    batch, _ = draw_normal(3, 4, 2)
    config = ReptileConfig(inner_steps=5, iterations=1)
    with pytest.raises(ValueError, match=r"inner_steps = 5.*\(3, 4, 2\)"):
        train(loss, params, batch, config, seed=0)
    assert train(loss, params, batch, replace(config, inner_steps=3), seed=0).losses.shape == (1, 1)


def test_training_tells_when_the_seed_axis_is_missing():
    _, loss = nets_with_loss(1)
    with pytest.raises(ValueError, match="leading axis of copies"):
        train(loss, {"w": torch.zeros(())}, lambda rng, n: None, seed=0)
