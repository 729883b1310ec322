import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from metarl_lite.algorithms import ppo
from metarl_lite.algorithms.ppo import PPOConfig
from metarl_lite.envs.cartpole import STANDARD, VectorCartPole
from metarl_lite.evaluate import returns_of_policy
from metarl_lite.nets import stacked_mlp
from metarl_lite.rollout import Transitions, greedy_policy

QUICK = PPOConfig(total_steps=64, num_steps=4, hidden=(8,), num_epochs=2, num_minibatches=2)


def poles(num_envs):
    return VectorCartPole(STANDARD.repeat(num_envs))


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.1, 2.0, 2.2, 2.2),
        (1.5, 2.0, 2.4, 0.0),  # good, and already likelier than the clip allows: no more of it
        (0.5, 2.0, 1.0, 1.0),  # good, and rarer than before: the way back is open
        (0.9, -2.0, -1.8, -1.8),
        (0.5, -2.0, -1.6, 0.0),  # bad, and already rarer than the clip allows
        (1.5, -2.0, -3.0, -3.0),  # bad, and likelier than before: the way back is open
    ],
)
def test_the_clipped_surrogate_and_its_slope_by_hand(ratio, advantage, objective, slope):
    new = torch.tensor(math.log(ratio), dtype=torch.float64, requires_grad=True)
    zero = torch.zeros((), dtype=torch.float64)
    value = ppo.clipped_surrogate(new, zero, zero + advantage, clip_coef=0.2)
    (gradient,) = torch.autograd.grad(value, new)  # d/d log pi = ratio * advantage, or nothing
    assert value.item() == pytest.approx(objective)
    assert gradient.item() == pytest.approx(slope)


def test_approx_kl_has_the_exact_divergence_as_its_mean_and_is_never_negative():
    old, new = torch.randn(2, 6, 5, dtype=torch.float64).log_softmax(dim=-1)
    estimate = ppo.approx_kl(new, old)
    exact = (old.exp() * (old - new)).sum(dim=-1)
    torch.testing.assert_close((old.exp() * estimate).sum(dim=-1), exact)
    assert (estimate >= 0).all()
    assert (ppo.approx_kl(old, old) == 0).all()


def test_the_loss_by_hand():
    arguments = (math.log(1.5), 0.0, 2.0, 3.0, 5.0, 0.6)
    loss = ppo.ppo_loss(
        *map(torch.tensor, arguments), clip_coef=0.2, value_coef=0.5, entropy_coef=0.1
    )
    assert loss.item() == pytest.approx(0.5 * (3 - 5) ** 2 - 1.2 * 2 - 0.1 * 0.6)


def test_normalised_advantages_have_mean_zero_and_deviation_one_for_each_seed():
    advantage = torch.tensor([[1.0, 2.0, 3.0], [10.0, 10.0, 40.0]])
    expected = torch.tensor([[-1.0, 0.0, 1.0], [-(3**-0.5), -(3**-0.5), 2 * 3**-0.5]])
    torch.testing.assert_close(ppo.normalised(advantage), expected)


class Lookup(nn.Module):
    """A stand-in for a stack of networks: the observation (..., 1) is what the critic says."""

    def forward(self, obs):
        return obs


def test_samples_bootstrap_through_truncation_only_and_keep_each_seed_apart():
    config = PPOConfig(gamma=0.5, gae_lambda=0.5)
    value = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).reshape(1, 4, 1)  # (seed, time, env)
    next_value = torch.tensor([[2.0, 9.0, 7.0, 8.0]]).reshape(1, 4, 1)
    ends = torch.arange(4).reshape(1, 4, 1)
    segment = Transitions(
        obs=value[..., None],
        action=torch.zeros(1, 4, 1, dtype=torch.long),
        reward=torch.full((1, 4, 1), 10.0),
        next_obs=next_value[..., None],
        terminated=ends == 2,
        truncated=ends == 1,
    )
    samples = ppo.samples_of(Lookup(), Lookup(), segment, config)
    # By hand, with rewards of (1 - 0.5) * 10 = 5: the last step goes on, step 2 ended, 1 was cut.
    delta = [5 + 0.5 * 2 - 1, 5 + 0.5 * 9 - 2, 5 + 0 - 3, 5 + 0.5 * 8 - 4]
    expected = torch.tensor([[delta[0] + 0.25 * delta[1], *delta[1:]]])
    torch.testing.assert_close(samples.advantage, expected)
    torch.testing.assert_close(samples.return_, expected + value.flatten(1))
    assert samples.obs.shape == (1, 4, 1)
    assert (samples.old_log_prob == 0).all()  # one action only


def some_samples(num_seeds=2, size=12):
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(3, num_seeds, size, generator=generator)
    return ppo.Samples(
        torch.randn(num_seeds, size, 3, generator=generator),
        torch.randint(2, (num_seeds, size), generator=generator),
        columns[0] - 1,
        *columns[1:],
    )


def test_each_epoch_shows_every_sample_once_in_an_order_of_its_own():
    numbers = torch.arange(24.0).reshape(2, 12)
    samples = ppo.Samples(numbers[..., None], *[numbers] * 4)
    config = PPOConfig(num_epochs=3, num_minibatches=4)
    parts = list(ppo._minibatches(samples, config, torch.Generator().manual_seed(0)))
    assert [part.action.shape for part in parts] == [(2, 3)] * 12
    for part in parts:
        assert all(torch.equal(column.reshape(2, 3), part.action) for column in part)
    epochs = [torch.cat([p.action for p in parts[i : i + 4]], dim=1) for i in (0, 4, 8)]
    for epoch in epochs:
        assert torch.equal(epoch.sort(dim=1).values, numbers)
        assert not torch.equal(epoch[0], epoch[1] - 12)  # each seed has its own order
    assert all(not torch.equal(one, other) for one, other in pairwise(epochs))


def seed_of(net, seed):
    """The network of one seed alone."""
    sizes = [net[0].weight.shape[1], *(layer.weight.shape[2] for layer in net[::2])]
    alone = stacked_mlp(sizes)
    for own, shared in zip(alone.parameters(), net.parameters(), strict=True):
        own.data = shared[seed : seed + 1].detach().clone()
    return alone


def test_one_update_is_adam_on_the_mean_loss_sample_by_sample_and_seed_by_seed():
    generator = torch.Generator().manual_seed(1)
    policy, critic = (
        stacked_mlp((3, 8, size), num_copies=2, generator=generator) for size in (2, 1)
    )
    samples = some_samples()
    config = PPOConfig(clip_coef=0.3, value_coef=0.7, entropy_coef=0.02)
    apart = [[seed_of(net, seed) for net in (policy, critic)] for seed in range(2)]
    parameters = [*policy.parameters(), *critic.parameters()]
    kl = ppo._update(policy, critic, torch.optim.Adam(parameters, lr=0.01), samples, config)
    for seed, (lone_policy, lone_critic) in enumerate(apart):
        obs, action, old, advantage, target = (column[seed] for column in samples)
        advantage = (advantage - advantage.mean()) / advantage.std()
        losses, ratios = [], []
        for i in range(12):
            distribution = torch.distributions.Categorical(logits=lone_policy(obs[None, i : i + 1]))
            ratios.append((distribution.log_prob(action[i]) - old[i]).exp())
            gain = ratios[-1] * advantage[i]
            bound = (1.3 if advantage[i] > 0 else 0.7) * advantage[i]
            error = lone_critic(obs[None, i : i + 1]).squeeze() - target[i]
            loss = 0.7 * error**2 - min(gain, bound) - 0.02 * distribution.entropy()
            losses.append(loss.squeeze())
        parameters = [*lone_policy.parameters(), *lone_critic.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=0.01)
        torch.stack(losses).mean().backward()
        optimizer.step()
        stacked = [*policy.parameters(), *critic.parameters()]
        for alone, together in zip(parameters, stacked, strict=True):
            torch.testing.assert_close(alone[0], together[seed], atol=1e-5, rtol=1e-4)
        ratio = torch.stack(ratios).detach()
        assert kl[seed].item() == pytest.approx((ratio - 1 - ratio.log()).mean().item(), rel=1e-4)


def test_the_first_gradient_step_of_a_segment_starts_at_the_old_policy():
    for snapshot in ppo.learn(poles(4), QUICK, seed=0, num_seeds=2, snapshot_every=8):
        assert snapshot.kl.shape == (4, 2)  # 2 epochs of 2 minibatches, 2 seeds
        np.testing.assert_allclose(snapshot.kl[0], 0, atol=1e-7)
        assert (snapshot.kl[1:] > 1e-8).any()


def test_snapshots_come_on_time_and_the_run_ends_with_its_steps():
    snapshots = list(ppo.learn(poles(4), QUICK, seed=0, num_seeds=2, snapshot_every=16))
    assert [snapshot.step for snapshot in snapshots] == [16, 32, 48, 64]
    assert all(len(snapshot.kl) == 8 for snapshot in snapshots)


def test_the_learning_rate_falls_linearly_to_nothing(monkeypatch):
    rates = []

    def watched(policy, critic, optimizer, samples, config):
        rates.append(optimizer.param_groups[0]["lr"])
        return torch.zeros(1)

    monkeypatch.setattr(ppo, "_update", watched)
    list(ppo.learn(poles(2), replace(QUICK, lr=0.8, total_steps=32), seed=0))
    np.testing.assert_allclose(rates, np.repeat([0.8, 0.6, 0.4, 0.2], 4))


def test_the_same_seed_learns_the_same():
    def weights(seed):
        *_, last = ppo.learn(poles(2), QUICK, seed=seed, snapshot_every=64)
        return torch.cat([p.detach().flatten() for p in last.policy.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_too_few_samples_for_the_minibatches_are_named():
    with pytest.raises(ValueError, match="4 samples are too few"):
        next(ppo.learn(poles(1), replace(QUICK, num_minibatches=4), seed=0))


def test_cartpole_is_learned_by_each_of_four_seeds():
    num_seeds = 4
    config = PPOConfig(total_steps=16_384)
    *_, last = ppo.learn(poles(32 * num_seeds), config, seed=0, num_seeds=num_seeds)
    returns = returns_of_policy(
        greedy_policy(last.policy), poles, num_episodes=25 * num_seeds, seed=1
    )
    assert returns.reshape(num_seeds, -1).mean(axis=1).min() > 150  # a beginner lasts 20 steps


def test_each_seed_learns_from_its_own_copies_of_the_environment(monkeypatch):
    segments, samples_of = [], ppo.samples_of

    def watched(policy, critic, segment, config):
        segments.append(segment)
        return samples_of(policy, critic, segment, config)

    monkeypatch.setattr(ppo, "samples_of", watched)
    next(ppo.learn(poles(6), QUICK, seed=3, num_seeds=2, snapshot_every=8))
    starts = torch.from_numpy(poles(6).reset(seed=3)[0])
    assert torch.equal(segments[0].obs[:, 0], starts.reshape(2, 3, 4))  # (seed, env, feature)
