import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats

from metarl_lite.envs.cartpole import STANDARD, VectorCartPole
from metarl_lite.envs.gridnav import make_vector
from metarl_lite.rollout import ReplayBuffer, Transitions, rollout, step


def numbered(first, count, num_seeds=2):
    """Transitions (seed, count) that all differ: number k of seed s is told by its observation."""
    number = first + torch.arange(count).expand(num_seeds, count)
    seed = torch.arange(num_seeds)[:, None].expand(num_seeds, count)
    obs = torch.stack([seed, number], dim=-1).float() + 0.1
    return Transitions(
        obs, number % 5, number / 3 - seed, obs - 0.7, number % 2 == 0, number % 3 == seed
    )


def stored(buffer):
    """The set of rows that a buffer can draw, by seed, and the buffer's draws themselves."""
    draws = buffer.sample(40 * buffer.capacity, generator=torch.Generator().manual_seed(0))
    assert (draws.obs[..., 0] == torch.arange(buffer.num_seeds)[:, None] + 0.1).all()  # seeds apart
    return [{round(x) for x in row} for row in draws.obs[..., 1].tolist()], draws


@pytest.mark.parametrize("sizes", [[4, 4, 4, 4], [3, 5, 7], [10], [7, 7], [1] * 23, [10, 3]])
def test_the_buffer_holds_exactly_the_last_transitions(sizes):
    buffer, total = ReplayBuffer(2, 10, 2), 0
    for count in sizes:
        buffer.add(numbered(total, count))
        total += count
        assert len(buffer) == min(total, 10)
        # 400 draws of at most 10: one is missed with a probability of 10 * 0.9 ** 400 < 1e-17
        assert stored(buffer)[0] == [set(range(max(0, total - 10), total))] * 2


def test_every_field_survives_the_round_trip_exactly():
    buffer, batch = ReplayBuffer(2, 12, 2), numbered(0, 12)
    buffer.add(batch)
    _, draws = stored(buffer)
    index = (draws.obs[..., 1] - 0.1).round().long()
    for name, kept, drawn in zip(Transitions._fields, batch, draws, strict=True):
        assert drawn.dtype == kept.dtype, name
        expected = kept.gather(1, index) if kept.ndim == 2 else kept[:, :, 1].gather(1, index)
        assert (drawn.reshape(2, index.shape[1], -1)[..., -1] == expected).all(), name


def test_draws_are_uniform_and_each_seed_draws_its_own():
    buffer = ReplayBuffer(2, 20, 2)
    buffer.add(numbered(0, 20))
    draws = buffer.sample(4_000, generator=torch.Generator().manual_seed(0)).obs[..., 1].round()
    for row in draws:
        assert stats.chisquare(row.long().bincount(minlength=20)).pvalue > 1e-3
    # independent draws agree once in 20; four standard errors of 4,000 draws
    agreement = (draws[0] == draws[1]).double().mean().item()
    assert abs(agreement - 1 / 20) < 4 * (0.05 * 0.95 / 4_000) ** 0.5


def test_draws_follow_the_generator():
    buffer = ReplayBuffer(1, 20, 2)
    buffer.add(numbered(0, 20, num_seeds=1))
    first, again, other = (
        buffer.sample(50, generator=torch.Generator().manual_seed(seed)).obs for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_what_was_drawn_does_not_change_with_the_buffer():
    buffer, batch = ReplayBuffer(1, 4, 2), numbered(0, 4, num_seeds=1)
    buffer.add(batch)
    draws = buffer.sample(8)
    kept = [x.clone() for x in draws]
    buffer.add(numbered(4, 4, num_seeds=1))
    for x, y in zip(draws, kept, strict=True):
        assert (x == y).all()


def test_the_buffer_names_what_it_cannot_store_or_draw():
    buffer = ReplayBuffer(2, 5, 2)
    with pytest.raises(ValueError, match="nothing is stored"):
        buffer.sample(1)
    with pytest.raises(ValueError, match=r"n at most 5, got .*6"):
        buffer.add(numbered(0, 6))
    for name, wrong in (("obs", torch.zeros(2, 3, 4)), ("reward", torch.zeros(2, 4))):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            buffer.add(numbered(0, 3)._replace(**{name: wrong}))
    with pytest.raises(ValueError, match="must be"):
        buffer.add(numbered(0, 3, num_seeds=3))
    assert len(buffer) == 0
    buffer.add(numbered(0, 3))
    for count in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=f"batch_size .*got {count}"):
            buffer.sample(count)


def alternate(obs):
    return (obs[:, 2] > 0).long()


def test_a_rollout_is_what_the_environment_did():
    batch = rollout(VectorCartPole(STANDARD.repeat(3), horizon=20), alternate, num_steps=50, seed=4)
    env = VectorCartPole(STANDARD.repeat(3), horizon=20)
    obs, _ = env.reset(seed=4)
    for t in range(50):
        action = alternate(torch.from_numpy(obs))
        next_obs, reward, terminated, truncated, infos = env.step(action.numpy())
        expected = (obs, action, reward, infos["final_obs"], terminated, truncated)
        for got, want in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(got[t], want)
        obs = next_obs
    assert [x.dtype for x in batch] == [
        torch.float32,
        torch.int64,
        torch.float32,
        torch.float32,
        torch.bool,
        torch.bool,
    ]


def test_next_obs_is_the_true_successor_even_where_the_episode_ends():
    batch = rollout(
        VectorCartPole(STANDARD.repeat(4), horizon=30),
        lambda obs: torch.tensor([0, 1, 0, 1]),
        num_steps=100,
        seed=0,
    )
    # position' = position + 0.02 velocity, whatever the force: true across an episode's end
    moved = batch.obs[..., 0] + 0.02 * batch.obs[..., 1]
    torch.testing.assert_close(batch.next_obs[..., 0], moved, rtol=0, atol=1e-6)
    beyond = (batch.next_obs[..., 0].abs() > 2.4) | (batch.next_obs[..., 2].abs() > np.deg2rad(12))
    assert (beyond == batch.terminated).all()
    done = batch.terminated | batch.truncated
    assert done.sum() > 8
    later, now = batch.obs[1:], batch.next_obs[:-1]
    assert (later[~done[:-1]] == now[~done[:-1]]).all()
    assert (later[done[:-1]].abs() <= 0.05).all()  # a fresh start


def test_an_environment_that_does_not_tell_where_a_step_led_is_refused():
    with pytest.raises(ValueError, match="GridNav gives no infos"):
        rollout(make_vector(2), lambda obs: torch.zeros(2, dtype=torch.long), num_steps=3, seed=0)
    env = gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    obs = torch.from_numpy(env.reset(seed=0)[0])
    with pytest.raises(ValueError, match="gives no infos"):
        step(env, obs, torch.zeros(2, dtype=torch.long))
