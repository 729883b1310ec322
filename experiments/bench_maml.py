"""One second-order meta-iteration on sinusoids, beside torchopt and higher; and its growth.

25 tasks, 10 points each in support and query, the paper's 1-40-40-1 network, float32, one thread:
forward, meta-gradient, no optimizer step. First all meta-gradients are compared in float64.
torchopt has wheels for Python 3.11 only, and is left out elsewhere.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import higher
import numpy as np
import torch
from report import report
from torch import Tensor, nn
from torch.func import functional_call

from metarl_lite.algorithms.maml import MAMLConfig, meta_loss
from metarl_lite.data.sinusoid import sample_points, sample_tasks

Gradient = Callable[[nn.Module, Tensor, Tensor, int], list[Tensor]]
INNER_LR = 0.01


def make_net() -> nn.Sequential:
    """Return the sinusoid network of Finn et al. (2017), with PyTorch's own initialisation."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    )


def draw(num_tasks: int) -> tuple[Tensor, Tensor]:
    """Return support and query data, (task, 10, 2) each."""
    rng = np.random.default_rng(0)
    data = sample_points(rng, sample_tasks(rng, num_tasks), 20)
    return data[:, :10], data[:, 10:]


def squared_error(net: nn.Module, data: Tensor) -> Tensor:
    """Return the mean squared error of `net` on one task's data (point, 2)."""
    return (net(data[:, :1]) - data[:, 1:]).square().mean()


def ours(net: nn.Module, support: Tensor, query: Tensor, inner_steps: int) -> list[Tensor]:
    """Return the meta-gradient by `metarl_lite.algorithms.maml`."""

    def loss(params: dict[str, Tensor], data: Tensor) -> Tensor:
        return squared_error(lambda x: functional_call(net, params, x), data)

    params = dict(net.named_parameters())
    config = MAMLConfig(inner_lr=INNER_LR, inner_steps=inner_steps)
    value = meta_loss(loss, params, support, query, config)
    return list(torch.autograd.grad(value, list(params.values())))


def with_torchopt(net: nn.Module, support: Tensor, query: Tensor, inner_steps: int) -> list[Tensor]:
    """Return the meta-gradient by torchopt's differentiable SGD, task by task."""
    import torchopt

    optimizer = torchopt.MetaSGD(net, lr=INNER_LR)
    start = [torchopt.extract_state_dict(x, by="reference") for x in (net, optimizer)]
    params, total = list(net.parameters()), 0.0
    for i in range(len(support)):
        for _ in range(inner_steps):
            optimizer.step(squared_error(net, support[i]))
        total = total + squared_error(net, query[i]) / len(support)
        torchopt.recover_state_dict(net, start[0])
        torchopt.recover_state_dict(optimizer, start[1])
    return list(torch.autograd.grad(total, params))


def with_higher(net: nn.Module, support: Tensor, query: Tensor, inner_steps: int) -> list[Tensor]:
    """Return the meta-gradient by higher's patched module, task by task."""
    params, optimizer = list(net.parameters()), torch.optim.SGD(net.parameters(), lr=INNER_LR)
    total = 0.0
    for i in range(len(support)):
        with higher.innerloop_ctx(net, optimizer, copy_initial_weights=False) as (copy, inner):
            for _ in range(inner_steps):
                inner.step(squared_error(copy, support[i]))
            total = total + squared_error(copy, query[i]) / len(support)
    return list(torch.autograd.grad(total, params))


PEERS = {"higher": (with_higher, "at most 0.1")}
if find_spec("torchopt"):
    PEERS["torchopt"] = (with_torchopt, "at most 0.2")


def check_equal(inner_steps: int) -> None:
    """Raise AssertionError unless all meta-gradients agree in float64."""
    net, data = make_net().double(), [x.double() for x in draw(25)]
    expected = ours(net, *data, inner_steps)
    for peer, _ in PEERS.values():
        torch.testing.assert_close(peer(net, *data, inner_steps), expected, rtol=1e-7, atol=1e-10)


def milliseconds(gradient: Gradient, num_tasks: int, inner_steps: int, *, repeats: int) -> float:
    """Return the time of one meta-gradient, averaged over `repeats`."""
    net, data = make_net(), draw(num_tasks)
    gradient(net, *data, inner_steps)
    start = time.perf_counter()
    for _ in range(repeats):
        gradient(net, *data, inner_steps)
    return 1_000 * (time.perf_counter() - start) / repeats


def compare(inner_steps: int) -> None:
    """Measure ours and the peers in turn, seven times, and report."""
    times = {name: [] for name in ("ours", *PEERS)}
    for _ in range(7):
        times["ours"].append(milliseconds(ours, 25, inner_steps, repeats=40))
        for name, (peer, _) in PEERS.items():
            times[name].append(milliseconds(peer, 25, inner_steps, repeats=5))
    for name, (_, target) in PEERS.items():
        report(
            f"maml_{inner_steps}_{name}",
            f"MAML meta-gradient, inner steps {inner_steps}",
            unit="ms",
            target=target,
            **{"ours": times["ours"], name: times[name]},
        )


def main() -> None:
    """Check, then measure and report."""
    torch.set_num_threads(1)
    for inner_steps in (1, 5):
        check_equal(inner_steps)
        compare(inner_steps)
    rounds = [[milliseconds(ours, tasks, 1, repeats=20) for tasks in (128, 8)] for _ in range(7)]
    many, few = map(list, zip(*rounds, strict=True))
    report(
        "maml_tasks",
        "MAML meta-gradient, tasks",
        unit="ms",
        target="at most 6",
        tasks_128=many,
        tasks_8=few,
    )


if __name__ == "__main__":
    main()
