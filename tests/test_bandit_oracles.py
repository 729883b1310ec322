import time
from functools import cache, partial

import numpy as np
import pytest

from metarl_lite.envs.bandits import BernoulliBandits, GaussianBandits, sample_tasks
from metarl_lite.oracles import bandits
from metarl_lite.oracles.bayes_optimal import (
    bayes_optimal_q,
    bayes_optimal_value,
    two_armed_value,
)
from metarl_lite.oracles.gittins import finite_horizon_gittins, gittins_index

RNG = np.random.default_rng(0)
PULLS, TOTALS = np.array([[3, 0, 1], [2, 4, 4]]), np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 4.0]])


def test_scores_worked_by_hand():
    np.testing.assert_allclose(
        bandits.greedy(PULLS, TOTALS, RNG), [[2 / 5, 1 / 2, 2 / 3], [1 / 4, 3 / 6, 5 / 6]]
    )
    optimistic = bandits.greedy(PULLS, TOTALS, RNG, prior=(3, 0))
    np.testing.assert_allclose(optimistic, [[4 / 6, 1, 1], [3 / 5, 5 / 7, 1]])
    bound = bandits.ucb1(PULLS, TOTALS, RNG)
    np.testing.assert_allclose(
        bound[:, [0, 2]],
        [
            [1 / 3 + (2 * np.log(4) / 3) ** 0.5, 1 + (2 * np.log(4)) ** 0.5],
            [np.log(10) ** 0.5, 1 + (np.log(10) / 2) ** 0.5],
        ],
    )
    assert bound[0, 1] == np.inf
    assert not bandits.uniform(PULLS, TOTALS, RNG).any()


def test_epsilon_greedy_explores_in_a_share_epsilon_of_the_tasks():
    pulls, totals = np.tile(PULLS[1], (20_000, 1)), np.tile(TOTALS[1], (20_000, 1))
    scores = bandits.epsilon_greedy(pulls, totals, RNG, epsilon=0.3)
    arms = bandits.best_arms(scores, RNG)
    # arm 2 is best: greedy always takes it, exploration one time in three
    assert abs((arms == 2).mean() - 0.8) < 5 * (0.8 * 0.2 / 20_000) ** 0.5
    assert abs((arms == 0).mean() - 0.1) < 5 * (0.1 * 0.9 / 20_000) ** 0.5


def test_thompson_draws_from_the_posterior():
    pulls, totals = np.tile([3, 10], (40_000, 1)), np.tile([1.0, 8.0], (40_000, 1))
    draws = bandits.thompson(pulls, totals, RNG)
    a, b = np.array([2, 9]), np.array([3, 3])  # Beta(1 + successes, 1 + failures)
    std = np.sqrt(a * b / (a + b + 1)) / (a + b)
    assert (abs(draws.mean(axis=0) - a / (a + b)) < 5 * std / 200).all()
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.03)


def test_ties_are_broken_evenly_and_the_best_arm_always_wins():
    arms = bandits.best_arms(np.tile([1.0, 0.0, 1.0], (20_000, 1)), RNG)
    assert set(arms) == {0, 2}
    assert abs((arms == 0).mean() - 0.5) < 5 * 0.5 / 20_000**0.5
    assert bandits.best_arms(np.array([[-np.inf, -5.0], [np.inf, 0.0]]), RNG).tolist() == [1, 0]


def test_an_agent_sees_exactly_what_was_pulled_and_received():
    seen = []

    def round_robin(pulls, totals, rng):
        seen.append((pulls, totals))
        return -pulls

    played = bandits.play(round_robin, BernoulliBandits([[1.0, 0.0]] * 3, horizon=4), seed=0)
    assert played.arms.shape == played.rewards.shape == (3, 4)
    np.testing.assert_array_equal(played.rewards, played.arms == 0)
    pulls, totals = seen[-1]
    assert pulls.sum(axis=1).tolist() == [3, 3, 3]
    for row in range(3):
        for arm in (0, 1):
            before = played.arms[row, :3] == arm
            assert pulls[row, arm] == before.sum()
            assert totals[row, arm] == played.rewards[row, :3][before].sum()


def test_an_agent_cannot_spoil_the_books():
    def vandal(pulls, totals, rng):
        scores = -pulls.astype(float)
        pulls += 100
        totals[:] = np.nan
        return scores

    played = bandits.play(vandal, BernoulliBandits([[0.5, 0.5]], horizon=6), seed=0)
    assert np.bincount(played.arms[0]).tolist() == [3, 3]


def test_play_repeats_with_its_seed_and_differs_with_another():
    def env():
        return BernoulliBandits(sample_tasks(np.random.default_rng(0), 20), horizon=30)

    one, two, other = (bandits.play(bandits.thompson, env(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.arms, two.arms)
    np.testing.assert_array_equal(one.rewards, two.rewards)
    assert (one.arms != other.arms).any()


def test_a_loop_over_one_bandit_agrees_with_thousands_at_once():
    """The slow reference: plain Python, one task, UCB1; both means within 5 standard errors."""
    horizon, p = 30, [0.3, 0.7]

    def total(rng):
        wins, pulls = [0.0, 0.0], [0, 0]
        for t in range(horizon):
            arm = t
            if t > 1:
                bounds = [
                    w / n + (2 * np.log(t) / n) ** 0.5 for w, n in zip(wins, pulls, strict=True)
                ]
                arm = int(bounds[1] > bounds[0])
            wins[arm] += rng.random() < p[arm]
            pulls[arm] += 1
        return sum(wins)

    slow = np.array([total(np.random.default_rng(seed)) for seed in range(2_000)])
    env = BernoulliBandits([p] * 10_000, horizon=horizon)
    fast = bandits.play(bandits.ucb1, env, seed=0).rewards.sum(axis=1)
    error = (slow.var() / len(slow) + fast.var() / len(fast)) ** 0.5
    assert abs(slow.mean() - fast.mean()) < 5 * error


def test_gaussian_bandits_are_played_too():
    played = bandits.play(bandits.ucb1, GaussianBandits([[0.0, 3.0]] * 50, std=0.5), seed=0)
    assert (played.arms[:, -20:] == 1).mean() > 0.9


def test_scores_of_a_wrong_shape_or_not_a_number_are_refused():
    env = BernoulliBandits([[0.1, 0.9]])
    with pytest.raises(ValueError, match=r"scores must be \(task, arm\) = \(1, 2\), got \(1,\)"):
        bandits.play(lambda pulls, totals, rng: totals[:, 0], env, seed=0)
    with pytest.raises(ValueError, match="without NaN"):
        bandits.play(lambda pulls, totals, rng: pulls * np.nan, env, seed=0)


def test_regret_by_hand():
    means, arms = [[0.2, 0.5], [0.9, 0.1]], [[0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(
        bandits.cumulative_regret(means, arms), [[0.3, 0.3, 0.6], [0, 0, 0.8]], atol=1e-12
    )


def test_the_constant_of_lai_and_robbins_by_hand():
    """The coins are no mirror images, so the two directions of the divergence differ."""
    kl = 0.2 * np.log(0.2 / 0.6) + 0.8 * np.log(0.8 / 0.4)
    constants = bandits.lai_robbins_constant([[0.2, 0.6, 0.6], [0.2, 0.6, 0.2], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(constants, [0.4 / kl, 0.8 / kl, 0.0])


EXACT = {1: 0.5, 2: 13 / 12, 3: 5 / 3, 10: 6.02179, 20: 12.43126, 50: 31.99671}


@pytest.mark.parametrize("horizon", EXACT)
def test_two_arms_have_the_known_values(horizon):
    q = bayes_optimal_q(horizon)
    assert q[0].max() == pytest.approx(EXACT[horizon], abs=5e-6)
    assert [table.shape for table in q] == [(t + 1,) * 3 + (2,) for t in range(horizon)]


def test_fifty_pulls_of_two_arms_take_less_than_a_second():
    start = time.process_time()
    bayes_optimal_q(50)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("num_arms", "value"), [(5, 6.660), (10, 6.714)])
def test_many_arms_have_the_known_values(num_arms, value):
    assert bayes_optimal_value(num_arms, 10) == pytest.approx(value, abs=5e-4)


def enumerated(num_arms, horizon):
    """The best plan's value from histories alone: no counts, no symmetry, no shared states."""

    def value(history):
        if len(history) == horizon:
            return 0.0
        options = []
        for arm in range(num_arms):
            rewards = [reward for pulled, reward in history if pulled == arm]
            p = (1 + sum(rewards)) / (2 + len(rewards))
            won, lost = (value((*history, (arm, reward))) for reward in (1, 0))
            options.append(p * (1 + won) + (1 - p) * lost)
        return max(options)

    return value(())


@pytest.mark.parametrize(("num_arms", "horizon"), [(2, 1), (2, 2), (2, 5), (3, 4), (4, 3), (1, 6)])
def test_dynamic_programming_equals_an_enumeration_of_all_histories(num_arms, horizon):
    expected = enumerated(num_arms, horizon)
    assert bayes_optimal_value(num_arms, horizon) == pytest.approx(expected, abs=1e-12)
    if num_arms == 2:
        assert bayes_optimal_q(horizon)[0].max() == pytest.approx(expected, abs=1e-12)


def test_tables_hold_nan_where_counts_cannot_be():
    table = bayes_optimal_q(3)[2]  # after two pulls
    assert np.isnan(table[0, 1, 0]).all()  # a success of an arm that was never pulled
    assert np.isnan(table[2, 0, 1]).all()
    assert np.count_nonzero(~np.isnan(table[..., 0])) == 3 + 4 + 3


def test_the_tables_and_the_sorted_counts_agree():
    for horizon in (4, 9, 16):
        assert bayes_optimal_value(2, horizon) == pytest.approx(bayes_optimal_q(horizon)[0].max())


def test_exact_values_of_agents():
    """Uniform earns half of the pulls; the optimum's tables earn what they promise, no one more."""
    optimum = partial(bandits.two_armed_optimum, q=bayes_optimal_q(12))
    best = two_armed_value(optimum, 12)
    assert best == pytest.approx(bayes_optimal_q(12)[0].max(), abs=1e-12)
    assert two_armed_value(bandits.uniform, 12) == pytest.approx(6)
    table = finite_horizon_gittins(12)
    for agent in (bandits.greedy, bandits.ucb1, partial(bandits.index_policy, table=table)):
        assert 6 < two_armed_value(agent, 12) <= best + 1e-12


@pytest.mark.parametrize(
    "agent",
    [
        bandits.greedy,
        partial(bandits.ucb1, width=0.5),
        partial(bandits.index_policy, table=finite_horizon_gittins(20)),
        partial(bandits.two_armed_optimum, q=bayes_optimal_q(20)),
    ],
)
def test_played_rewards_agree_with_the_exact_value(agent):
    env = BernoulliBandits(sample_tasks(RNG, 40_000, num_arms=2), horizon=20)
    totals = bandits.play(agent, env, seed=3).rewards.sum(axis=1)
    assert abs(totals.mean() - two_armed_value(agent, 20)) < 5 * totals.std() / 200


@pytest.mark.parametrize(
    ("successes", "failures", "gamma", "published"),
    [
        (0, 0, 0.9, 0.7029),
        (1, 1, 0.9, 0.6346),
        (2, 2, 0.9, 0.6010),
        (9, 1, 0.9, 0.8695),
        (0, 0, 0.99, 0.8699),
    ],
)
def test_discounted_indices_agree_with_the_tables_to_four_digits(
    successes, failures, gamma, published
):
    depth = 150 if gamma == 0.9 else 700
    index = gittins_index(successes, failures, gamma=gamma, depth=depth)
    assert index == pytest.approx(published, abs=5.1e-5)


def test_an_arm_with_one_pull_left_is_worth_its_mean():
    s, f = np.ogrid[:6, :6]
    means = (s + 1) / (s + f + 2)
    np.testing.assert_allclose(gittins_index(s, f, gamma=1.0, depth=1), means, atol=1e-9)
    np.testing.assert_allclose(gittins_index(s, f, gamma=0.0, depth=3), means, atol=1e-9)


def test_the_index_with_two_pulls_left_by_hand():
    """One free look: p - price + p (p' - price) = 0 with p = 1/2, p' = 2/3, so price = 5/9."""
    assert gittins_index(0, 0, gamma=1.0, depth=2) == pytest.approx(5 / 9, abs=1e-9)


def brute_force_index(s, f, remaining):
    """The best ratio of mean reward to mean number of pulls, over all stopping rules."""

    @cache
    def rules(s, f, left):
        """All (mean reward, mean pulls) of rules that pull now."""
        p = (s + 1) / (s + f + 2)
        if left == 1:
            return {(p, 1.0)}
        after = [{(0.0, 0.0)} | rules(*state, left - 1) for state in ((s + 1, f), (s, f + 1))]
        return {
            (p * (1 + won[0]) + (1 - p) * lost[0], 1 + p * won[1] + (1 - p) * lost[1])
            for won in after[0]
            for lost in after[1]
        }

    return max(reward / pulls for reward, pulls in rules(s, f, remaining))


@pytest.mark.parametrize("counts", [(0, 0, 4), (1, 0, 4), (0, 2, 3), (3, 1, 3)])
def test_the_index_is_the_best_rate_of_any_stopping_rule(counts):
    *arm, remaining = counts
    index = gittins_index(*arm, gamma=1.0, depth=remaining)
    assert index == pytest.approx(brute_force_index(*counts), abs=1e-9)


def test_the_table_of_all_indices_agrees_with_halving():
    table = finite_horizon_gittins(25)
    t, s, f = (x.ravel() for x in np.indices((25, 25, 25)))
    possible = s + f <= t
    assert not np.isnan(table[t, s, f][possible]).any()
    for pulled in (0, 3, 11, 20, 24):
        rows = possible & (t == pulled)
        exact = gittins_index(s[rows], f[rows], gamma=1.0, depth=25 - pulled)
        error = table[pulled, s[rows], f[rows]] - exact
        assert -1e-9 < error.min() <= error.max() < 1 / 256  # a chord lies above a convex curve
        assert error.mean() < 1 / 256 / 20


def test_information_is_worth_more_with_more_pulls_to_come():
    table = finite_horizon_gittins(30)
    first = table[np.arange(30), 0, 0]
    assert (np.diff(first) < 0).all()
    assert first[-1] == pytest.approx(0.5)


def test_the_finite_horizon_policy_reaches_its_known_value():
    """100 pulls of 5 arms earn 78.69 on average, by a large simulation with another program."""
    env = BernoulliBandits(sample_tasks(np.random.default_rng(1), 20_000), horizon=100)
    agent = partial(bandits.index_policy, table=finite_horizon_gittins(100))
    totals = bandits.play(agent, env, seed=0).rewards.sum(axis=1)
    assert abs(totals.mean() - 78.69) < 5 * totals.std() / 20_000**0.5
