import pytest
import torch

from metarl_lite.algorithms.optimizers import Problem, adam, follow, momentum, rmsprop, sgd

PEERS = {
    "sgd": (sgd(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (momentum(0.1), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "rmsprop": (rmsprop(0.1), lambda p: torch.optim.RMSprop(p, lr=0.1)),
    "adam": (adam(0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
}


def quadratic(curvature, start):
    """Return the problem of 0.5 curvature theta^2, summed, one curvature for each coordinate."""

    def loss(theta):
        return (0.5 * curvature * theta**2).sum(dim=1)

    kind = torch.zeros(start.shape[1], dtype=torch.int64)
    return Problem(start, kind, lambda theta: (curvature * theta, loss(theta)), loss)


@pytest.mark.parametrize("name", PEERS)
def test_the_hand_made_optimizers_are_those_of_torch(name):
    ours, make_peer = PEERS[name]
    start = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    theirs = start.clone()
    peer = make_peer([theirs])
    theta, memory = start, ours.start(quadratic(1.0, start))
    for _ in range(7):
        step, memory = ours.update(torch.sin(3 * theta), memory)
        theirs.grad = torch.sin(3 * theirs)
        theta = theta + step
        peer.step()
        torch.testing.assert_close(theta, theirs)


def test_following_gradient_descent_shrinks_each_coordinate_by_its_own_factor():
    curvature, start = torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 1.0], [3.0, -2.0]])
    problem = quadratic(curvature, start)
    scores, losses = follow(sgd(0.25), problem, 6, score_every=2)
    thetas = [(1 - 0.25 * curvature) ** k * start for k in range(7)]
    torch.testing.assert_close(
        scores, torch.stack([problem.score(thetas[k]) for k in (0, 2, 4, 6)])
    )
    torch.testing.assert_close(losses, torch.stack([problem.score(x) for x in thetas[:6]]))
