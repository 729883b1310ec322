import copy

import numpy as np
import pytest
import torch

from metarl_lite.algorithms.rl2 import RL2Config, advantages, learn, make_net, train, trials_loss
from metarl_lite.envs import flappy
from metarl_lite.envs.bandits import BernoulliBandits
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.gridnav import FAMILY
from metarl_lite.trials import Trials, play


def make_trials(reward, value):
    reward, value = (torch.tensor(x, dtype=torch.float64) for x in (reward, value))
    nothing = torch.zeros_like(reward)
    return Trials(nothing[..., None], nothing.long(), reward, nothing, value)


def random_trials(rng, time=6, tasks=5):
    return make_trials(*rng.normal(size=(2, time, tasks)))


def advantages_by_loops(reward, value, gamma, gae_lambda):
    """Sum the exponentially weighted errors of the centred, scaled rewards, one at a time."""
    time, tasks = reward.shape
    reward = reward - reward.mean(axis=1, keepdims=True)
    returns = [
        [sum(gamma ** (u - t) * reward[u, i] for u in range(t, time)) for i in range(tasks)]
        for t in range(time)
    ]
    reward = reward / np.std(returns, ddof=1)
    value = np.vstack([value, np.zeros(tasks)])
    error = reward + gamma * value[1:] - value[:-1]
    raw = [
        [
            sum((gamma * gae_lambda) ** (u - t) * error[u, i] for u in range(t, time))
            for i in range(tasks)
        ]
        for t in range(time)
    ]
    centred = raw - np.mean(raw, axis=1, keepdims=True)
    return centred / centred.std(ddof=1), raw + value[:-1]


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.9, 0.8), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)])
def test_advantages_equal_those_of_slow_loops(gamma, gae_lambda):
    trials = random_trials(np.random.default_rng(0))
    by_loops = advantages_by_loops(trials.reward.numpy(), trials.value.numpy(), gamma, gae_lambda)
    result = advantages(trials, gamma=gamma, gae_lambda=gae_lambda)
    for ours, slow in zip(result, by_loops, strict=True):
        np.testing.assert_allclose(ours, slow, rtol=1e-6)


def test_two_tasks_by_hand():
    """Centred rewards +-1/2, then 0: returns of deviation 6 ** -0.5, which are scaled to 1."""
    trials = make_trials([[1.0, 0.0], [1.0, 1.0]], np.zeros((2, 2)))
    by_hand = torch.tensor([[1.5**0.5, -(1.5**0.5)], [0.0, 0.0]], dtype=torch.float64)
    for result in advantages(trials, gamma=1.0, gae_lambda=1.0):
        torch.testing.assert_close(result, by_hand, rtol=1e-6, atol=1e-6)


def test_what_all_tasks_share_and_the_unit_of_reward_change_nothing():
    trials = random_trials(np.random.default_rng(1))
    shared = torch.linspace(-3, 5, 6, dtype=torch.float64)[:, None]
    other = trials._replace(reward=10 * trials.reward + shared)
    for one, two in zip(
        advantages(trials, gamma=0.9, gae_lambda=0.9),
        advantages(other, gamma=0.9, gae_lambda=0.9),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def test_each_step_may_have_a_scale_of_its_own():
    trials = random_trials(np.random.default_rng(2))
    whole, targets = advantages(trials, gamma=0.9, gae_lambda=0.9)
    each, same_targets = advantages(trials, gamma=0.9, gae_lambda=0.9, scale_each_step=True)
    torch.testing.assert_close(same_targets, targets)
    torch.testing.assert_close(each.std(dim=1), torch.ones_like(each[:, 0]))
    torch.testing.assert_close(each, whole / whole.std(dim=1, keepdim=True))
    assert (each != whole).all()


def test_a_reward_of_the_last_episode_is_credited_to_the_first_action_of_the_trial():
    reward = np.zeros((8, 2))
    reward[7, 0] = 1.0  # the end of the second of two episodes of four steps
    advantage, _ = advantages(make_trials(reward, np.zeros((8, 2))), gamma=1.0, gae_lambda=1.0)
    assert advantage[0, 0] > 0.9
    assert advantage[0, 1] < -0.9


def test_at_the_policy_that_played_the_gradient_is_that_of_reinforce():
    env = FAMILY.make_env(FAMILY.sample_tasks(np.random.default_rng(0), 6))
    net = make_net(env, hidden_size=8, seed=0)
    trials = play(net, env, num_episodes=2, generator=torch.Generator().manual_seed(0))
    advantage, return_ = advantages(trials, gamma=0.9, gae_lambda=0.9)
    config = RL2Config(value_coef=0.3)
    loss = trials_loss(net, trials, advantage, return_, config, entropy_coef=0.2)
    ours = torch.autograd.grad(loss, list(net.parameters()))
    logits, value = net.heads(net.states(trials.inputs))
    policy = torch.distributions.Categorical(logits=logits)
    gain = policy.log_prob(trials.action) * advantage + 0.2 * policy.entropy()
    by_hand = (0.3 * (value - return_) ** 2 - gain).mean()
    for one, two in zip(ours, torch.autograd.grad(by_hand, list(net.parameters())), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def one_sure_arm():
    """Return the family of two arms of which one always pays and the other never does."""
    return TaskFamily(
        lambda rng, num_tasks: np.eye(2)[rng.integers(2, size=num_tasks)],
        lambda tasks: BernoulliBandits(tasks, horizon=3),
    )


SMALL = RL2Config(iterations=30, num_tasks=64, num_minibatches=2, lr=1e-2, final_lr=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_to_remember_which_arm_paid(seed):
    family = one_sure_arm()
    net = make_net(family.make_env(np.eye(2)), hidden_size=16, seed=seed)
    result = train(net, family, SMALL, seed=seed)
    assert result.returns.shape == (30, 1)
    assert result.returns[-3:].mean() > 2.3  # 2.5 is best; without memory it is 1.5


def test_training_changes_neither_the_network_handed_in_nor_with_the_same_seed_its_result():
    family = TaskFamily(lambda rng, n: np.full((n, 2), 0.5), one_sure_arm().make_env)
    net = make_net(family.make_env(np.eye(2)), hidden_size=4, seed=0)
    before = copy.deepcopy(net.state_dict())
    config = RL2Config(iterations=2, num_tasks=8, num_minibatches=2)
    one, same, other = (train(net, family, config, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(net.state_dict()[name], x) for name, x in before.items())
    weight = "gru.weight_hh_l0"
    assert torch.equal(one.net.state_dict()[weight], same.net.state_dict()[weight])
    assert not torch.equal(one.net.state_dict()[weight], other.net.state_dict()[weight])


def test_returns_are_kept_for_every_episode_of_a_trial():
    net = make_net(FAMILY.make_env(np.array([[2, 2]])), hidden_size=4, seed=0)
    config = RL2Config(iterations=2, num_tasks=8, num_minibatches=2, num_episodes=3)
    assert train(net, FAMILY, config, seed=0).returns.shape == (2, 3)
    assert next(learn(net, FAMILY, config, seed=0)).returns.shape == (3,)


def test_tasks_must_split_into_minibatches():
    with pytest.raises(ValueError, match="multiple of num_minibatches"):
        RL2Config(num_tasks=10, num_minibatches=4)


def test_training_scales_each_step_where_it_is_told_to():
    family = one_sure_arm()
    net = make_net(family.make_env(np.eye(2)), hidden_size=4, seed=0)
    weights = [
        train(
            net, family, RL2Config(iterations=1, num_tasks=16, scale_each_step=each), seed=0
        ).net.policy.weight
        for each in (False, True)
    ]
    assert (weights[0] != weights[1]).any()


def test_learning_rewards_replace_those_learned_from_and_not_those_told():
    family = TaskFamily(
        lambda rng, num_tasks: rng.random((num_tasks, 2)),
        lambda tasks: BernoulliBandits(tasks, horizon=6),
    )
    net = make_net(BernoulliBandits(np.zeros((1, 2))), seed=0)
    config = RL2Config(iterations=2, num_tasks=16)
    seen = []

    def nothing_pays(tasks, trials):
        seen.append((tasks, trials))
        return torch.zeros_like(trials.reward)

    paid = train(net, family, config, seed=1)
    same = train(net, family, config, seed=1, learning_rewards=lambda _, trials: trials.reward)
    unpaid = train(net, family, config, seed=1, learning_rewards=nothing_pays)
    assert (paid.returns == same.returns).all()
    assert paid.returns[0] == unpaid.returns[0]  # those of the play before the first update
    tasks, trials = seen[0]
    assert tasks.shape == (16, 2)
    told = trials.inputs[1:, :, 3]  # after the observation's and the actions' one-hots
    assert (told == trials.reward[:-1]).all()
    assert any(
        (a != b).any() for a, b in zip(paid.net.parameters(), unpaid.net.parameters(), strict=True)
    )


def test_trials_may_have_a_fixed_length_and_episodes_that_end_at_different_steps():
    net = make_net(flappy.FAMILY.make_env(flappy.STANDARD), hidden_size=4, seed=0)
    config = RL2Config(iterations=1, num_tasks=8, num_steps=60, num_minibatches=2)
    returns = train(net, flappy.FAMILY, config, seed=3).returns
    env = flappy.VectorFlappyBird(flappy.sample_tasks(np.random.default_rng(3), 8))
    trials = play(net, env, num_steps=60, generator=torch.Generator().manual_seed(3))
    assert len(trials.reward) == 60
    np.testing.assert_allclose(returns, [[trials.reward.sum(dim=0).mean()]], rtol=1e-6)
