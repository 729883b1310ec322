"""The exact judges of chapter 6's two open designs, against answers worked by hand."""

import numpy as np
import pytest

from metarl_lite.exercises.meta_learning import TASKS, bayes_and_fixed, gain_of_support, q5, q6


def equally(*tasks):
    return np.isin(np.arange(16), tasks) / len(tasks)


def test_tasks_are_numbered_by_their_truth_tables():
    assert TASKS[6].tolist() == [0, 1, 1, 0]  # XOR
    assert TASKS[8].tolist() == [0, 0, 0, 1]  # AND
    assert len(np.unique(TASKS, axis=0)) == 16


@pytest.mark.parametrize(
    ("probabilities", "gains"),
    [
        (equally(*range(16)), (0, 0, 0)),
        (equally(6, 9), (0.5, 0.5, 0.5)),  # a look at one input tells which of the two
        (equally(0, 3, 5, 6, 9, 10, 12, 15), (0, 0, 0.5)),  # even parity: three tell the fourth
        # without 6, 0110, a 0 at the first input leaves seven tasks, four with 0 at the second;
        # without 9, its opposite, likewise: right in 8 of 14 instead of 7, and no more with three
        (equally(*(set(range(16)) - {6, 9})), (1 / 14, 1 / 14, 1 / 14)),
    ],
)
def test_the_gain_of_a_support_is_what_it_is_by_hand(probabilities, gains):
    found = [gain_of_support(probabilities, size) for size in (1, 2, 3)]
    np.testing.assert_allclose(found, gains, atol=1e-12)


@pytest.mark.parametrize("ones", [0.2, 0.5, 0.85])
def test_independent_bits_are_a_solution_whatever_their_chance(ones):
    answer = np.prod(np.where(TASKS == 1, ones, 1 - ones), axis=1)
    assert q5.judge(answer).status == "correct"
    assert q5.judge(answer.tolist()).status == "correct"


def test_independent_bits_of_too_small_a_chance_are_dull():
    answer = np.prod(np.where(TASKS == 1, 0.05, 0.95), axis=1)
    assert "too dull" in q5.judge(answer).message


@pytest.mark.parametrize("answer", [[0.5, 0.5], [1 / 8] * 16, [-1, 2, *[0] * 14], "uniform"])
def test_what_is_no_distribution_of_the_16_tasks_is_told_so(answer):
    assert q5.judge(answer).status == "wrong"


@pytest.mark.parametrize("pulls", [1, 2, 5, 10])
def test_where_one_pull_tells_all_the_bayes_optimal_agent_loses_half_a_reward(pulls):
    bayes, fixed = bayes_and_fixed(((1.0, 0.0), (0.0, 1.0)), pulls)
    assert bayes == pytest.approx(pulls - 0.5)
    assert fixed == pytest.approx(pulls / 2)


def test_two_pulls_of_two_noisy_tasks_by_hand():
    # (.8, .2) or (.2, .8): the first pull pays .5; after a success the belief is .8, so the second
    # pays .8 * .8 + .2 * .2 = .68, and after a failure the other arm pays the same
    bayes, _ = bayes_and_fixed(((0.8, 0.2), (0.2, 0.8)), 2)
    assert bayes == pytest.approx(0.5 + 0.68)


@pytest.mark.parametrize("answer", [((0.9, 0.1), (0.5, 0.4)), ((0.1, 0.3), (0.6, 0.9))])
def test_the_same_best_arm_in_both_tasks_is_a_solution(answer):
    assert q6.judge(answer).status == "correct"


def test_tasks_that_rewards_hardly_tell_apart_are_refused():
    assert "tell the tasks apart" in q6.judge(((0.9, 0.1), (0.8, 0.3))).message
