"""higher as a peer of MAML; needs the `bench` extra and is skipped without it."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

from metarl_lite.algorithms.maml import MAMLConfig, meta_loss

higher = pytest.importorskip("higher")


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_its_meta_gradient_is_ours(inner_steps, first_order):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    support, query = torch.randn(2, 4, 6, 2, dtype=torch.float64)

    def error(model, data):
        return (model(data[:, :1]) - data[:, 1:]).square().mean()

    def loss(params, data):
        return error(lambda x: functional_call(net, params, x), data)

    config = MAMLConfig(inner_lr=0.1, inner_steps=inner_steps, first_order=first_order)
    params = {name: p.detach() for name, p in net.named_parameters()}
    ours = grad(lambda p: meta_loss(loss, p, support, query, config))(params)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for task_support, task_query in zip(support, query, strict=True):
        with higher.innerloop_ctx(
            net, optimizer, copy_initial_weights=False, track_higher_grads=not first_order
        ) as (fast, inner):
            for _ in range(inner_steps):
                inner.step(error(fast, task_support))
            value = error(fast, task_query) / len(support)
            if first_order:  # higher then has no path to the start: its gradient is that at phi
                grads = torch.autograd.grad(value, list(fast.parameters()))
                for p, g in zip(net.parameters(), grads, strict=True):
                    p.grad = g if p.grad is None else p.grad + g
            else:
                value.backward()
    theirs = {name: p.grad for name, p in net.named_parameters()}
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
