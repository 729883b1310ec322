import numpy as np
import torch

from metarl_lite.envs.mdp import sample_tasks
from metarl_lite.oracles import planning, policy_gradient
from metarl_lite.oracles.tabular_returns import expected_returns, share_of_optimal, yardstick

MDPS = sample_tasks(np.random.default_rng(0), 4, num_states=5, num_actions=3, gamma=0.9)
TASKS = yardstick(MDPS)


def test_returns_are_those_of_one_mdp_after_the_other():
    policy = np.random.default_rng(1).dirichlet(np.ones(3), size=(4, 5))
    expected = [
        mdp.start @ planning.evaluate_policy(mdp, pi) for mdp, pi in zip(MDPS, policy, strict=True)
    ]
    found = expected_returns(TASKS, torch.tensor(policy))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_random_behaviour_is_nowhere_and_optimal_values_are_all_the_way():
    q = torch.tensor(np.stack([planning.policy_iteration(mdp).q for mdp in MDPS]))
    torch.testing.assert_close(share_of_optimal(TASKS, q), torch.ones(4).double())
    nearly = share_of_optimal(TASKS, torch.zeros(4, 5, 3), temperature=1.0)
    torch.testing.assert_close(nearly, torch.zeros(4).double())
    cold = share_of_optimal(TASKS, q, temperature=1e-4)
    torch.testing.assert_close(cold, torch.ones(4).double())


def test_the_derivative_of_a_soft_policy_is_the_policy_gradient():
    q = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)).double()
    q.requires_grad_()
    share_of_optimal(TASKS, q, temperature=1.0).sum().backward()
    for i, mdp in enumerate(MDPS):
        way = TASKS.optimal[i] - TASKS.random[i]
        expected = policy_gradient.gradient(mdp, q[i].detach()) / way
        torch.testing.assert_close(q.grad[i], expected)
