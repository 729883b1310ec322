import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metarl_lite.returns import discounted_returns, gae, n_step_returns


def column(*numbers):
    """One environment's numbers in time: (time, 1)."""
    return torch.tensor(numbers)[:, None]


def segment(seed, shape=(9, 3)):
    """Random reward, value, next_value, terminated and truncated of `shape`, in float64."""
    generator = torch.Generator().manual_seed(seed)
    numbers = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    ends = [torch.rand(shape, generator=generator) < 0.2 for _ in range(2)]
    return (*numbers, *ends)


segments = st.builds(segment, st.integers(0, 10**6), st.sampled_from([(1, 1), (9, 3), (2, 6, 2)]))
shares = st.floats(0, 1)


def slow_lambda_returns(reward, next_value, terminated, truncated, gamma, mix):
    """The lambda-return as its definition says: a weighted sum of n-step returns, step by step."""
    result = torch.empty_like(reward)
    for t in range(len(reward)):
        for env in range(reward.shape[1]):
            total, discount, weight, collected = 0.0, 1.0, 1.0, 0.0
            for k in range(t, len(reward)):
                total += discount * reward[k, env]
                discount *= gamma
                n_step = total + discount * next_value[k, env] * (not terminated[k, env])
                if terminated[k, env] or truncated[k, env] or k == len(reward) - 1:
                    collected += weight * n_step  # the rest of the weight
                    break
                collected += weight * (1 - mix) * n_step
                weight *= mix
            result[t, env] = collected
    return result


def slow_n_step_returns(reward, next_value, terminated, truncated, gamma, num_steps):
    result = torch.empty_like(reward)
    for t in range(len(reward)):
        for env in range(reward.shape[1]):
            total = 0.0
            for k in range(t, min(t + num_steps, len(reward))):
                total += gamma ** (k - t) * reward[k, env]
                if terminated[k, env] or truncated[k, env]:
                    break
            value = next_value[k, env] * (not terminated[k, env])
            result[t, env] = total + gamma ** (k - t + 1) * value
    return result


def test_returns_by_hand():
    # 1, then 2 and the end; then 3, cut short where 10 was to come; then 4, and 20 comes after.
    arguments = (
        column(1.0, 2.0, 3.0, 4.0),
        column(7.0, 8.0, 10.0, 20.0),
        column(False, True, False, False),
        column(False, False, True, False),
    )
    returns = discounted_returns(*arguments, gamma=0.5)
    torch.testing.assert_close(returns, column(1 + 0.5 * 2, 2.0, 3 + 0.5 * 10, 4 + 0.5 * 20))


def test_advantages_by_hand():
    # lambda = gamma = 1/2, values 2 then 6, 4 afterwards:
    # delta_1 = 3 + 4/2 - 6 = -1 and delta_0 = 1 + 6/2 - 2 = 2, so A_0 = 2 + (1/4)(-1)
    no = column(False, False)
    advantages = gae(
        column(1.0, 3.0), column(2.0, 6.0), column(6.0, 4.0), no, no, gamma=0.5, gae_lambda=0.5
    )
    torch.testing.assert_close(advantages, column(1.75, -1.0))


def test_two_step_returns_by_hand():
    # 1 + 2/2 + 12/4; then 2 + 3/2 at the end, with nothing after it; then 3; then 4 + 20/2
    arguments = (
        column(1.0, 2.0, 3.0, 4.0),
        column(8.0, 12.0, 16.0, 20.0),
        column(False, False, True, False),
        column(False, False, False, False),
    )
    returns = n_step_returns(*arguments, gamma=0.5, num_steps=2)
    torch.testing.assert_close(returns, column(5.0, 3.5, 3.0, 14.0))


def test_truncation_bootstraps_and_termination_does_not():
    reward, next_value, yes, no = column(1.0), column(8.0), column(True), column(False)
    for function, knobs in (
        (discounted_returns, {}),
        (n_step_returns, {"num_steps": 3}),
    ):
        for terminated, truncated, expected in (
            (no, yes, 5.0),
            (yes, no, 1.0),
            (yes, yes, 1.0),  # a terminal state is one, whatever the clock says
            (no, no, 5.0),
        ):
            result = function(reward, next_value, terminated, truncated, gamma=0.5, **knobs)
            assert result.item() == expected


@given(segments, shares)
def test_discounted_returns_equal_a_slow_loop(arrays, gamma):
    reward, _, *rest = arrays
    expected = [
        slow_lambda_returns(*(x.reshape(-1, *x.shape[-2:])[i] for x in (reward, *rest)), gamma, 1.0)
        for i in range(reward[..., 0, 0].numel())
    ]
    result = discounted_returns(reward, *rest, gamma=gamma)
    torch.testing.assert_close(result, torch.stack(expected).reshape(reward.shape))


@given(st.integers(0, 10**6), shares, shares)
def test_advantages_equal_a_slow_loop(seed, gamma, gae_lambda):
    reward, value, *rest = segment(seed)
    result = gae(reward, value, *rest, gamma=gamma, gae_lambda=gae_lambda)
    expected = slow_lambda_returns(reward, *rest, gamma, gae_lambda) - value
    torch.testing.assert_close(result, expected)


@given(st.integers(0, 10**6), shares, st.integers(1, 12))
def test_n_step_returns_equal_a_slow_loop(seed, gamma, num_steps):
    reward, _, *rest = segment(seed)
    result = n_step_returns(reward, *rest, gamma=gamma, num_steps=num_steps)
    torch.testing.assert_close(result, slow_n_step_returns(reward, *rest, gamma, num_steps))


@given(segments, shares)
def test_lambda_zero_is_the_one_step_advantage_and_one_the_return(arrays, gamma):
    reward, value, next_value, terminated, truncated = arrays
    rest = (next_value, terminated, truncated)
    one_step = reward + gamma * next_value * ~terminated
    torch.testing.assert_close(
        gae(reward, value, *rest, gamma=gamma, gae_lambda=0.0), one_step - value
    )
    torch.testing.assert_close(
        gae(reward, value, *rest, gamma=gamma, gae_lambda=1.0),
        discounted_returns(reward, *rest, gamma=gamma) - value,
    )


@given(segments, shares)
def test_one_step_is_the_target_and_a_long_horizon_the_whole_return(arrays, gamma):
    reward, _, next_value, terminated, truncated = arrays
    rest = (next_value, terminated, truncated)
    one_step = reward + gamma * next_value * ~terminated
    torch.testing.assert_close(n_step_returns(reward, *rest, gamma=gamma, num_steps=1), one_step)
    for num_steps in (reward.shape[-2], reward.shape[-2] + 3):
        torch.testing.assert_close(
            n_step_returns(reward, *rest, gamma=gamma, num_steps=num_steps),
            discounted_returns(reward, *rest, gamma=gamma),
        )


def test_the_arguments_are_left_as_they_were():
    arrays = segment(0)
    before = [x.clone() for x in arrays]
    gae(*arrays, gamma=0.9, gae_lambda=0.9)
    n_step_returns(arrays[0], *arrays[2:], gamma=0.9, num_steps=3)
    for x, y in zip(arrays, before, strict=True):
        assert (x == y).all()


@pytest.mark.parametrize("function", [discounted_returns, n_step_returns])
def test_flags_that_are_no_flags_are_refused(function):
    reward, _, next_value, terminated, truncated = segment(0)
    knobs = {"num_steps": 2} if function is n_step_returns else {}
    with pytest.raises(ValueError, match="terminated must"):
        function(reward, next_value, terminated.double(), truncated, gamma=0.9, **knobs)
    with pytest.raises(ValueError, match="truncated must"):
        function(reward, next_value, terminated, truncated[1:], gamma=0.9, **knobs)
    with pytest.raises(ValueError, match="gamma must"):
        function(reward, next_value, terminated, truncated, gamma=1.1, **knobs)
