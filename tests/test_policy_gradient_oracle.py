import numpy as np
import pytest
import torch
from torch.func import jacrev

from metarl_lite.envs.gridworld import gridworld
from metarl_lite.envs.mdp import MDP, sample_tasks
from metarl_lite.oracles import planning
from metarl_lite.oracles import policy_gradient as oracle

WORLD = gridworld("S.G\n..P", gamma=0.9, slip=0.2, step_reward=-0.04).mdp
MDPS = {
    "grid": WORLD,
    "endless": sample_tasks(np.random.default_rng(0), 1, num_states=4, num_actions=3, gamma=0.95)[
        0
    ],
}


def logits_of(mdp, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=mdp.R.shape))


def probabilities(logits):
    return logits.softmax(dim=-1).numpy()


@pytest.fixture(params=MDPS)
def mdp(request):
    return MDPS[request.param]


def test_values_are_those_of_the_numpy_planner(mdp):
    logits = logits_of(mdp)
    expected = planning.evaluate_policy(mdp, probabilities(logits))
    np.testing.assert_allclose(oracle.values(mdp, logits), expected, atol=1e-12)
    np.testing.assert_allclose(
        oracle.action_values(mdp, logits), planning.q_from_v(mdp, expected), atol=1e-12
    )


def test_values_of_the_first_steps_are_the_planner_s_sweeps(mdp):
    logits = logits_of(mdp)
    sweeps = planning.evaluate_policy_iteratively(mdp, probabilities(logits), num_sweeps=7)
    np.testing.assert_allclose(oracle.values(mdp, logits, num_steps=7), sweeps[7], atol=1e-12)


def test_the_gradient_agrees_with_finite_differences(mdp):
    logits, nudge = logits_of(mdp), 1e-5
    start = torch.tensor(mdp.start)
    for num_steps in (None, 3):
        gradient = oracle.gradient(mdp, logits, num_steps=num_steps)
        for entry in np.ndindex(*logits.shape):
            up, down = logits.clone(), logits.clone()
            up[entry] += nudge
            down[entry] -= nudge
            rise = (
                start
                @ (
                    oracle.values(mdp, up, num_steps=num_steps)
                    - oracle.values(mdp, down, num_steps=num_steps)
                )
                / (2 * nudge)
            )
            assert gradient[entry].item() == pytest.approx(rise.item(), abs=1e-8)


def test_the_theorem_is_the_gradient_of_the_linear_solve(mdp):
    logits = logits_of(mdp)
    torch.testing.assert_close(
        oracle.theorem(mdp, logits), oracle.gradient(mdp, logits), rtol=0, atol=1e-12
    )


def test_a_bandit_s_gradient_worked_by_hand():
    """pi = (1/4, 3/4), rewards 2 and -2: J = -1, so grad = pi (r - J) = (3/4, -3/4)."""
    mdp = MDP(np.array([[[0.0, 1.0]] * 2, [[0.0, 1.0]] * 2]), [[2.0, -2.0], [0.0, 0.0]], 0.5)
    logits = torch.tensor([[0.0, np.log(3.0)], [0.3, 0.1]], dtype=torch.float64)
    expected = torch.tensor([[0.75, -0.75], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(oracle.gradient(mdp, logits), expected)
    torch.testing.assert_close(oracle.theorem(mdp, logits), expected)


def test_occupancy_is_the_discounted_sum_of_the_chain_s_distributions(mdp):
    logits = logits_of(mdp)
    P_pi, _ = planning.follow(mdp, probabilities(logits))
    at, eta = mdp.start, np.zeros(mdp.num_states)
    for t in range(2_000):
        eta += mdp.gamma**t * at
        at = at @ P_pi
    np.testing.assert_allclose(
        oracle.occupancy(mdp, logits), np.where(mdp.terminal, 0.0, eta), atol=1e-10
    )


def test_undiscounted_occupancy_counts_the_steps_of_an_episode():
    logits = logits_of(WORLD)
    steps = MDP(WORLD.P, np.where(WORLD.terminal[:, None], 0.0, 1.0) + 0 * WORLD.R, 1 - 1e-12)
    length = torch.tensor(WORLD.start) @ oracle.values(steps, logits)
    visits = oracle.occupancy(WORLD, logits, gamma=1.0)
    assert visits.sum().item() == pytest.approx(length.item(), rel=1e-8)


def test_visits_of_an_endless_world_are_refused():
    endless = MDPS["endless"]
    with pytest.raises(ValueError, match="gamma is 1, but state 0 never"):
        oracle.occupancy(endless, logits_of(endless), gamma=1.0)


def test_only_the_gradient_has_a_symmetric_derivative():
    """What drops gamma^t is the gradient of no function (Nota and Thomas 2020)."""
    logits = logits_of(WORLD)

    def asymmetry(weight_gamma):
        def field(x):
            return oracle.theorem(WORLD, x, weight_gamma=weight_gamma).flatten()

        jacobian = jacrev(field)(logits).reshape(logits.numel(), -1)
        return (jacobian - jacobian.T).abs().max().item()

    assert asymmetry(None) < 1e-12
    assert asymmetry(1.0) > 1e-3


def test_without_a_discount_the_factor_makes_no_difference():
    to_the_end = np.eye(WORLD.num_states)[WORLD.terminal.argmax()]
    P = np.where(WORLD.terminal[:, None, None], WORLD.P, 0.5 * WORLD.P + 0.5 * to_the_end)
    episodic = MDP(P, WORLD.R, 1.0)
    logits = logits_of(episodic)
    torch.testing.assert_close(
        oracle.theorem(episodic, logits, weight_gamma=1.0), oracle.gradient(episodic, logits)
    )
