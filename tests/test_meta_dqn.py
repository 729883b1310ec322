from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.func import grad_and_value, vmap

from metarl_lite.algorithms.meta_dqn import (
    AgentConfig,
    Experience,
    dqn_problem,
    network_sizes,
    q_values,
    td_gradient,
    td_loss,
    updates_until,
)
from metarl_lite.algorithms.optimizers import adam, follow
from metarl_lite.envs.cartpole import CartPoleTasks, VectorCartPole
from metarl_lite.envs.mdp import sample_tasks
from metarl_lite.envs.tabular import TabularEnv
from metarl_lite.oracles.tabular_returns import share_of_optimal, yardstick
from metarl_lite.rollout import Transitions

SMALL = AgentConfig(hidden=(6,), envs_per_agent=2, batch_size=8)
SIZES = (4, 6, 3)


def tasks(num_tasks=3, seed=0):
    rng = np.random.default_rng(seed)
    return sample_tasks(rng, num_tasks, num_states=4, num_actions=3, gamma=0.9)


def worlds(num_tasks=3, config=SMALL):
    mdps = [mdp for mdp in tasks(num_tasks) for _ in range(config.envs_per_agent)]
    return TabularEnv(mdps, horizon=5)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def minibatch(agents=3, size=8):
    generator = torch.Generator().manual_seed(1)
    ends = torch.rand(agents, size, generator=generator)
    return Transitions(
        draw(agents, size, 4, seed=2),
        torch.randint(3, (agents, size), generator=generator),
        draw(agents, size, seed=3),
        draw(agents, size, 4, seed=4),
        ends < 0.3,
        ends > 0.8,
    )


def num_parameters(sizes=SIZES):
    return sum(a * b + b for a, b in pairwise(sizes))


def by_hand(theta, inputs):
    """Return the Q-values (batch, 3) of one network theta (D,) with sizes 4, 6, 3."""
    w1, b1, w2, b2 = theta.split([24, 6, 18, 3])
    return (inputs @ w1.view(4, 6) + b1).relu() @ w2.view(6, 3) + b2


def test_networks_are_flat_vectors_layer_by_layer():
    theta, inputs = draw(3, num_parameters()), draw(3, 8, 4, seed=5)
    expected = torch.stack([by_hand(t, x) for t, x in zip(theta, inputs, strict=True)])
    torch.testing.assert_close(q_values(theta, inputs, SIZES), expected)
    shared = torch.stack([by_hand(t, inputs[0]) for t in theta])
    torch.testing.assert_close(q_values(theta, inputs[0], SIZES), shared)


def test_the_semi_gradient_is_that_of_a_loop_with_held_targets():
    theta, batch = draw(3, num_parameters()), minibatch()
    gradient, loss = td_gradient(theta, batch, sizes=SIZES, gamma=0.9)
    for i in range(3):
        t = theta[i].clone().requires_grad_()
        one = Transitions(*(x[i] for x in batch))
        target = one.reward + 0.9 * by_hand(t, one.next_obs).max(dim=1).values * ~one.terminated
        chosen = by_hand(t, one.obs)[torch.arange(8), one.action]
        expected = (chosen - target.detach()).square().mean()
        torch.testing.assert_close(loss[i], expected.detach())
        torch.testing.assert_close(gradient[i], torch.autograd.grad(expected, t)[0])


def test_the_agents_in_one_program_are_vmap_of_one_agents_loss():
    theta, batch = draw(3, num_parameters()), minibatch()

    def one(t, target, *columns):
        columns = Transitions(*(x[None] for x in columns))
        return td_loss(t[None], target[None], columns, sizes=SIZES, gamma=0.9)[0]

    expected, losses = vmap(grad_and_value(one))(theta, theta, *batch)
    gradient, loss = td_gradient(theta, batch, sizes=SIZES, gamma=0.9)
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(loss, losses)


def test_the_semi_gradient_can_be_differentiated_through_its_target_too():
    theta, batch = draw(1, num_parameters()).double(), minibatch(agents=1)
    batch = Transitions(*(x.double() if x.is_floating_point() else x for x in batch))

    def field(t):
        return td_gradient(t[None], batch, sizes=SIZES, gamma=0.9)[0][0]

    jacobian = torch.autograd.functional.jacobian(field, theta[0])
    nudge = 1e-6 * torch.eye(len(theta[0]), dtype=torch.float64)[0]
    numeric = (field(theta[0] + nudge) - field(theta[0] - nudge)) / 2e-6
    torch.testing.assert_close(jacobian[:, 0], numeric, rtol=1e-5, atol=1e-7)
    assert (jacobian - jacobian.T).abs().max() > 0.01  # the gradient of no function


def test_agents_with_the_same_seed_meet_the_same_chances():
    theta = draw(3, num_parameters())
    runs = [Experience(worlds(), 3, SMALL, seed=7) for _ in range(2)]
    for _ in range(4):
        for one, other in zip(*(run.batch(theta) for run in runs), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_with_random_behaviour_the_data_do_not_depend_on_the_learner():
    fixed = AgentConfig(hidden=(6,), envs_per_agent=2, batch_size=8, epsilon=1.0)
    runs = [Experience(worlds(), 3, fixed, seed=7) for _ in range(2)]
    for k in range(4):
        thetas = draw(3, num_parameters(), seed=k), draw(3, num_parameters(), seed=k + 9)
        batches = [run.batch(theta) for run, theta in zip(runs, thetas, strict=True)]
        for one, other in zip(*batches, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_batch_shows_states_one_hot_and_where_the_step_led():
    batch = Experience(worlds(), 3, SMALL, seed=7).batch(draw(3, num_parameters()))
    assert batch.obs.shape == batch.next_obs.shape == (3, 8, 4)
    assert (batch.obs.sum(dim=-1) == 1).all()
    R = torch.tensor(np.stack([mdp.R for mdp in tasks()])).float()
    state = batch.obs.argmax(dim=-1)
    torch.testing.assert_close(batch.reward, R[torch.arange(3)[:, None], state, batch.action])


def test_the_kinds_are_weights_and_biases_of_hidden_layers_and_of_the_last():
    problem = dqn_problem(worlds(), lambda theta: theta[:, 0], SMALL, num_agents=3, seed=0)
    assert problem.kind.tolist() == [0] * 24 + [1] * 6 + [2] * 18 + [3] * 3
    deep = AgentConfig(hidden=(6, 5), envs_per_agent=2, batch_size=8)
    kind = dqn_problem(worlds(), lambda x: x[:, 0], deep, num_agents=3, seed=0).kind
    assert kind.bincount().tolist() == [24 + 30, 6 + 5, 15, 3]


def test_adam_trains_the_agents():
    mdps = sample_tasks(np.random.default_rng(0), 6, gamma=0.9)
    config = AgentConfig(envs_per_agent=8)
    env = TabularEnv([mdp for mdp in mdps for _ in range(8)], horizon=10)
    tasks, sizes = yardstick(mdps), network_sizes(env, config)

    def score(theta):
        return -share_of_optimal(tasks, q_values(theta, torch.eye(10), sizes))

    problem = dqn_problem(env, score, config, num_agents=6, seed=0)
    scores, losses = follow(adam(0.05), problem, 150, score_every=150)
    assert scores[-1].mean() < -0.8
    assert losses.shape == (150, 6)


def test_cart_poles_are_shown_as_they_are():
    config = AgentConfig(hidden=(6,), envs_per_agent=2, batch_size=8)
    env = VectorCartPole(CartPoleTasks(gravity=np.full(6, 9.8)))
    experience = Experience(env, 3, config, seed=0)
    theta = draw(3, num_parameters((4, 6, 2)))
    for _ in range(40):
        batch = experience.batch(theta)
    assert batch.obs.shape == (3, 8, 4)
    assert batch.terminated.any()


def test_updates_until_counts_from_the_start():
    scores = torch.tensor([[0.0, 0.0], [-1.0, -0.6], [-1.0, -1.0]])
    assert updates_until(scores, -0.7) == 1
    assert updates_until(scores, -0.9) == 2
    assert updates_until(scores, -1.1) == float("inf")


def test_copies_that_do_not_split_among_the_agents_are_refused():
    with pytest.raises(ValueError, match="4 agents need 2 environments each, 8 in all, got 6"):
        Experience(worlds(), 4, SMALL, seed=0)
