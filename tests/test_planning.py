from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_lite.envs.gridworld import RUSSELL_NORVIG, gridworld
from metarl_lite.envs.mdp import MDP, sample_tasks
from metarl_lite.oracles import planning


def random_mdp(seed, states=5, actions=3, gamma=0.9):
    return sample_tasks(
        np.random.default_rng(seed), 1, num_states=states, num_actions=actions, gamma=gamma
    )[0]


def random_policy(seed, mdp):
    return np.random.default_rng(seed + 1).dirichlet(np.ones(mdp.num_actions), size=mdp.num_states)


mdps = st.builds(
    random_mdp,
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 0.9, 0.99]),
)


def test_a_machine_that_pays_one_for_ever_is_worth_one_over_one_minus_gamma():
    mdp = MDP([[[1.0]]], [[1.0]], 0.9)
    assert planning.evaluate_policy(mdp, np.array([0])) == pytest.approx([10])
    assert planning.value_iteration(mdp).v == pytest.approx([10])


def two_states():
    """Stay (reward 0) or go to the other (reward 1 from state 0, 2 from state 1); gamma 1/2."""
    P = np.stack([np.eye(2), np.eye(2)[::-1]], axis=1)
    return MDP(P, [[0, 1], [0, 2]], 0.5)


def test_two_states_by_hand():
    mdp = two_states()
    # always go: v0 = 1 + v1 / 2, v1 = 2 + v0 / 2, so v = (8/3, 10/3); this is also optimal
    solution = planning.policy_iteration(mdp)
    np.testing.assert_allclose(solution.v, [8 / 3, 10 / 3])
    np.testing.assert_allclose(solution.q, [[4 / 3, 8 / 3], [5 / 3, 10 / 3]])
    assert solution.policy.tolist() == [1, 1]
    np.testing.assert_allclose(solution.history, [[0, 0], [8 / 3, 10 / 3]])  # began by staying
    # a fair coin: v0 = 1/2 + (v0 + v1) / 4 and v1 = 1 + (v0 + v1) / 4, so v = (5/4, 7/4)
    np.testing.assert_allclose(planning.evaluate_policy(mdp, np.full((2, 2), 0.5)), [1.25, 1.75])


def test_two_sweeps_by_hand():
    history = planning.evaluate_policy_iteratively(two_states(), np.array([1, 1]), num_sweeps=2)
    np.testing.assert_allclose(history, [[0, 0], [1, 2], [2, 2.5]])
    solution = planning.value_iteration(two_states(), start_value=np.array([4.0, 0.0]))
    np.testing.assert_allclose(solution.history[:2], [[4, 0], [2, 4]])


def test_follow_averages_over_the_policy():
    P_pi, r_pi = planning.follow(two_states(), np.array([[0.25, 0.75], [1.0, 0.0]]))
    np.testing.assert_allclose(P_pi, [[0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(r_pi, [0.75, 0])


def test_gamblers_ruin_has_its_closed_form_at_gamma_one():
    """Fair coin, capital 0..N: the chance to reach N before 0 from s is s / N."""
    size = 8
    P = np.zeros((size + 1, 1, size + 1))
    for state in range(1, size):
        P[state, 0, [state - 1, state + 1]] = 0.5
    P[[0, size], 0, [0, size]] = 1
    R = np.zeros((size + 1, 1))
    R[size - 1] = 0.5
    v = planning.evaluate_policy(MDP(P, R, 1.0), np.zeros(size + 1, dtype=int))
    np.testing.assert_allclose(v[:-1], np.arange(size) / size, atol=1e-12)
    assert v[-1] == 0
    solution = planning.value_iteration(MDP(P, R, 1.0), tolerance=1e-12)
    np.testing.assert_allclose(solution.v, v, atol=1e-9)


def test_russell_and_norvigs_world_has_the_values_of_their_figure():
    """Third edition, Figure 17.3; the fourth does not charge for the step that arrives."""
    world = gridworld(RUSSELL_NORVIG, slip=0.2, step_reward=-0.04, gamma=1 - 1e-9)
    printed = [
        [0.812, 0.868, 0.918, 0.0],
        [0.762, np.nan, 0.660, 0.0],
        [0.705, 0.655, 0.611, 0.388],
    ]
    values = world.to_grid(planning.policy_iteration(world.mdp).v)
    np.testing.assert_allclose(values, printed, atol=5e-4)


@given(mdp=mdps, seed=st.integers(0, 1000))
def test_policy_values_equal_a_sum_over_a_long_horizon(mdp, seed):
    """Slow reference: sum_k gamma^k P_pi^k r_pi, written out."""
    policy = random_policy(seed, mdp)
    P_pi = np.array(
        [[policy[s] @ mdp.P[s, :, t] for t in range(len(policy))] for s in range(len(policy))]
    )
    r_pi = np.array([policy[s] @ mdp.R[s] for s in range(len(policy))])
    total, term = np.zeros(len(r_pi)), r_pi
    for k in range(2_500):
        total, term = total + mdp.gamma**k * term, P_pi @ term
    np.testing.assert_allclose(planning.evaluate_policy(mdp, policy), total, atol=1e-7)


@given(mdp=mdps, seed=st.integers(0, 1000))
def test_each_sweep_of_evaluation_contracts_by_gamma(mdp, seed):
    policy = random_policy(seed, mdp)
    v = planning.evaluate_policy(mdp, policy)
    errors = abs(planning.evaluate_policy_iteratively(mdp, policy, num_sweeps=8) - v).max(axis=1)
    assert (errors[1:] <= mdp.gamma * errors[:-1] + 1e-9).all()


@settings(max_examples=50)
@given(mdp=mdps, seed=st.integers(0, 1000))
def test_optimal_values_solve_bellmans_equation_and_no_policy_is_better(mdp, seed):
    solution = planning.policy_iteration(mdp)
    np.testing.assert_allclose(solution.q.max(axis=1), solution.v, atol=1e-8)
    np.testing.assert_allclose(planning.value_iteration(mdp).v, solution.v, atol=2e-8)
    assert (planning.evaluate_policy(mdp, random_policy(seed, mdp)) <= solution.v + 1e-9).all()


@settings(max_examples=20)
@given(mdp=st.builds(random_mdp, st.integers(0, 10**6), st.just(3), st.just(2)))
def test_the_best_of_all_deterministic_policies_is_optimal(mdp):
    """Slow reference: evaluate all eight."""
    policies = np.indices((2, 2, 2)).reshape(3, -1).T
    best = np.max([planning.evaluate_policy(mdp, policy) for policy in policies], axis=0)
    np.testing.assert_allclose(planning.policy_iteration(mdp).v, best, atol=1e-9)


@given(mdp=mdps)
def test_policy_iteration_never_gets_worse(mdp):
    history = planning.policy_iteration(mdp).history
    assert (np.diff(history, axis=0) >= -1e-9).all()


@given(mdp=mdps)
def test_value_iteration_keeps_its_promise_of_tolerance(mdp):
    exact = planning.policy_iteration(mdp).v
    assert abs(planning.value_iteration(mdp, tolerance=0.01).v - exact).max() <= 0.01


def test_policy_iteration_stops_among_tied_actions():
    mdp = MDP(np.full((3, 4, 3), 1 / 3), np.full((3, 4), 0.1), 0.999)
    solution = planning.policy_iteration(mdp, start_policy=np.array([3, 2, 1]))
    assert solution.policy.tolist() == [3, 2, 1]
    assert len(solution.history) == 1


def test_q_of_the_policys_own_value_averages_back_to_it():
    mdp = random_mdp(0)
    policy = random_policy(0, mdp)
    v = planning.evaluate_policy(mdp, policy)
    np.testing.assert_allclose((policy * planning.q_from_v(mdp, v)).sum(axis=1), v)


def test_greedy_takes_the_first_best_and_keeps_leading_axes():
    assert planning.greedy(np.array([[[1, 3, 3], [2, 0, 1]]])).tolist() == [[1, 0]]


def test_arguments_are_not_changed():
    mdp, start = random_mdp(1), np.ones(5)
    policy = np.zeros(5, dtype=int)
    planning.value_iteration(mdp, start_value=start)
    planning.policy_iteration(mdp, start_policy=policy)
    assert start.tolist() == [1] * 5
    assert policy.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (np.array([0, 3, 0, 0, 0]), r"policy\[1\] = 3 is no action of 0\.\.2"),
        (np.array([0, 0, -1, 0, 0]), r"policy\[2\] = -1"),
        (np.zeros(5), r"\(5, 3\) probabilities or \(5,\) int, got float64 of shape \(5,\)"),
        (np.full((5, 3), 0.3), r"policy\[0\] must be a distribution"),
        (np.tile([1.5, -0.5, 0.0], (5, 1)), r"policy\[0\] must be a distribution"),
        (np.full((5, 3), np.nan), "policy must be finite"),
    ],
)
def test_bad_policies_are_named(policy, message):
    for oracle in (planning.follow, planning.evaluate_policy):
        with pytest.raises(ValueError, match=message):
            oracle(random_mdp(0), policy)
    with pytest.raises(ValueError, match=message):
        planning.policy_iteration(random_mdp(0), start_policy=policy)


def test_other_bad_input_is_named():
    mdp = random_mdp(0)
    with pytest.raises(ValueError, match=r"shape \(S,\) = \(5,\), got \(4,\)"):
        planning.q_from_v(mdp, np.zeros(4))
    with pytest.raises(ValueError, match="values must be finite"):
        planning.value_iteration(mdp, start_value=np.full(5, np.nan))
    with pytest.raises(ValueError, match="num_sweeps must be a whole number of at least 0, got -1"):
        planning.evaluate_policy_iteratively(mdp, np.zeros(5, dtype=int), num_sweeps=-1)
    for tolerance in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"tolerance must be (positive|finite)"):
            planning.value_iteration(mdp, tolerance=tolerance)
    with pytest.raises(ValueError, match=r"gamma=0\.999 did not reach .* in max_sweeps=10"):
        planning.value_iteration(replace(mdp, gamma=0.999), max_sweeps=10)
