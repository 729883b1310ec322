import copy
from dataclasses import replace
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from metarl_lite.algorithms import dqn
from metarl_lite.algorithms.dqn import DQNConfig
from metarl_lite.envs.gridworld import gridworld
from metarl_lite.envs.mdp import MDP
from metarl_lite.envs.tabular import TabularEnv
from metarl_lite.nets import stacked_mlp
from metarl_lite.oracles import planning
from metarl_lite.rollout import Transitions, greedy_policy

STATES, ACTIONS = 5, 2
QUICK = DQNConfig(
    total_steps=60,
    gamma=0.9,
    hidden=(8,),
    batch_size=6,
    buffer_size=20,
    learning_starts=10,
    updates_per_step=3,
    target_every=4,
    epsilon_steps=30,
    final_epsilon=0.3,
)


class OneHotEnv(TabularEnv):
    """Finite MDPs whose observation is the state's unit vector: flat, as DQN needs it."""

    def __init__(self, mdps, **kwargs):
        super().__init__(mdps, **kwargs)
        self.unit = np.eye(mdps[0].num_states, dtype=np.float32)
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (mdps[0].num_states,))
        self.actions = []

    def reset(self, **kwargs):
        state, infos = super().reset(**kwargs)
        return self.unit[state], infos

    def step(self, actions):
        self.actions.append(actions.copy())
        state, *outcome, infos = super().step(actions)
        infos["final_obs"] = self.unit[infos["final_obs"]]
        return self.unit[state], *outcome, infos


def chain(reward=1.0):
    """Five states in a row; left or right; the last ends the episode with `reward`."""
    P = np.zeros((STATES, ACTIONS, STATES))
    for state in range(STATES - 1):
        P[state, 0, max(state - 1, 0)] = P[state, 1, state + 1] = 1
    P[-1, :, -1] = 1
    R = np.zeros((STATES, ACTIONS))
    R[:, 0], R[-2, 1], R[-1] = -0.1 * reward, reward, 0
    return MDP(P, R, 0.9)


def tables(*q_values):
    """A stand-in for a network: obs (seed, batch, 1) holds the row of `q_values` to return."""
    q = torch.tensor(q_values)
    return lambda obs: q[obs[..., 0].long()]


def random_batch(num_seeds, size, obs_dim, *, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    obs, next_obs = torch.randn(2, num_seeds, size, obs_dim, generator=generator, dtype=dtype)
    reward = torch.randn(num_seeds, size, generator=generator, dtype=dtype)
    action = torch.randint(ACTIONS, (num_seeds, size), generator=generator)
    ends = torch.rand(2, num_seeds, size, generator=generator) < 0.3
    return Transitions(obs, action, reward, next_obs, *ends)


def parameters(net):
    return [p.detach().clone() for p in net.parameters()]


def recorded_updates(monkeypatch, env, config, **kwargs):
    """Run `learn` to its end; return each update's (weights, target weights, batch), and the net.

    The weights are those just before the update.
    """
    updates, loss = [], dqn.dqn_loss

    def recording_loss(net, target_net, batch, config):
        kept = Transitions(*(x.clone() for x in batch))
        updates.append((parameters(net), parameters(target_net), kept))
        return loss(net, target_net, batch, config)

    monkeypatch.setattr(dqn, "dqn_loss", recording_loss)
    *_, last = dqn.learn(env, config, **kwargs)
    return updates, last.net


@pytest.mark.parametrize(("double", "successor_value"), [(True, 20.0), (False, 30.0)])
def test_targets_by_hand(double, successor_value):
    # The live network prefers action 1, which the target network puts at 20; its own best is 30.
    live, target = tables([0.0, 5.0, 2.0]), tables([10.0, 20.0, 30.0])
    obs = torch.zeros(1, 4, 1)
    terminated = torch.tensor([[False, True, False, True]])
    truncated = torch.tensor([[False, False, True, True]])
    batch = Transitions(obs, torch.zeros(1, 4).long(), torch.ones(1, 4), obs, terminated, truncated)
    y = dqn.td_targets(live, target, batch, gamma=0.5, double=double)
    alive = 1 + 0.5 * successor_value  # a truncated episode would have gone on
    assert y.tolist() == [[alive, 1.0, alive, 1.0]]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("mse", (3.0**2 + 0.5**2) / 2), ("huber", ((3.0 - 0.5) + 0.5 * 0.5**2) / 2)],
)
def test_the_loss_by_hand(loss, expected):
    live = tables([0.0, 4.0], [1.5, 0.0])  # of the actions taken: 4 and 1.5
    ends = torch.ones(1, 2, dtype=torch.bool)
    rows = torch.tensor([[[0.0], [1.0]]])
    batch = Transitions(rows, torch.tensor([[1, 0]]), torch.ones(1, 2), rows, ends, ~ends)
    config = DQNConfig(loss=loss)  # both end, so y is the reward, 1: off by 3 and by 0.5
    assert dqn.dqn_loss(live, live, batch, config).tolist() == [expected]


@pytest.mark.parametrize("loss", ["huber", "mse"])
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("shares_net", [True, False])
def test_the_gradient_equals_finite_differences_with_the_target_held(loss, double, shares_net):
    generator = torch.Generator().manual_seed(0)
    net = stacked_mlp((3, 4, ACTIONS), num_copies=2, generator=generator).double()
    other = stacked_mlp((3, 4, ACTIONS), num_copies=2, generator=generator).double()
    target_net = net if shares_net else other
    batch = random_batch(2, 5, 3, dtype=torch.float64)
    config = DQNConfig(gamma=0.9, loss=loss, double=double)
    dqn.dqn_loss(net, target_net, batch, config).sum().backward()
    y = dqn.td_targets(net, target_net, batch, gamma=0.9, double=double)
    assert not y.requires_grad

    def loss_with_y_held():
        error = net(batch.obs).gather(-1, batch.action[..., None])[..., 0] - y
        small = error.abs() < 1
        huber = torch.where(small, error**2 / 2, error.abs() - 0.5)
        return (huber if loss == "huber" else error**2).mean(dim=-1).sum().item()

    for parameter in net.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(len(flat)):
            start = flat[i].item()
            flat[i] = start + 1e-6
            above = loss_with_y_held()
            flat[i] = start - 1e-6
            slope = (above - loss_with_y_held()) / 2e-6
            flat[i] = start
            assert gradient[i].item() == pytest.approx(slope, abs=1e-7)
    assert all(p.grad is None for p in other.parameters())


def test_the_loss_of_one_seed_leaves_the_other_seeds_weights_alone():
    net = stacked_mlp((3, 4, ACTIONS), num_copies=3)
    dqn.dqn_loss(net, net, random_batch(3, 5, 3), DQNConfig())[1].backward()
    for p in net.parameters():
        assert p.grad[1].any()
        assert not p.grad[[0, 2]].any()


class OneSeed:
    """DQN of a single seed in ordinary torch modules: the reference that `learn` must equal."""

    def __init__(self, weights, seed, config):
        layers = []
        for weight, bias in zip(weights[::2], weights[1::2], strict=True):
            linear = nn.Linear(*weight.shape[1:])
            linear.weight.data, linear.bias.data = weight[seed].T.clone(), bias[seed, 0].clone()
            layers += [linear, nn.ReLU()]
        self.seed, self.config = seed, config
        self.net = nn.Sequential(*layers[:-1])
        self.target_net = copy.deepcopy(self.net)
        self.optimizer = torch.optim.Adam(self.net.parameters())
        self.num_updates = 0

    def update(self, batch, lr):
        obs, action, reward, next_obs, terminated, _ = (x[self.seed] for x in batch)
        with torch.no_grad():
            chosen = self.net(next_obs).argmax(dim=1)
            value = self.target_net(next_obs)[torch.arange(len(chosen)), chosen]
        y = torch.where(terminated, reward, reward + self.config.gamma * value)
        q = self.net(obs)[torch.arange(len(action)), action]
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.zero_grad()
        functional.smooth_l1_loss(q, y).backward()
        self.optimizer.step()
        self.num_updates += 1
        if self.num_updates % self.config.target_every == 0:
            self.target_net = copy.deepcopy(self.net)

    def assert_has(self, weights):
        for linear, weight, bias in zip(self.net[::2], weights[::2], weights[1::2], strict=True):
            torch.testing.assert_close(linear.weight.T, weight[self.seed], rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(linear.bias, bias[self.seed, 0], rtol=1e-3, atol=1e-5)


def test_several_seeds_in_one_program_equal_each_seed_alone_on_the_same_batches(monkeypatch):
    env = OneHotEnv([chain()] * 6, horizon=7)
    updates, net = recorded_updates(monkeypatch, env, QUICK, seed=0, num_seeds=3, snapshot_every=60)
    assert len(updates) == 3 * len(range(10, 61, 2))  # three after each step from step 10 on
    for seed in range(3):
        alone = OneSeed(updates[0][0], seed, QUICK)
        for k, (weights, _, batch) in enumerate(updates):
            alone.assert_has(weights)
            done = 10 + 2 * (k // 3)  # environment steps of each seed, two at a time
            alone.update(batch, QUICK.lr + (QUICK.final_lr - QUICK.lr) * done / 60)
        alone.assert_has(parameters(net))


def test_the_target_network_is_copied_every_target_every_updates_and_never_between(monkeypatch):
    env = OneHotEnv([chain()] * 2)
    updates, _ = recorded_updates(monkeypatch, env, QUICK, seed=0, snapshot_every=60)
    for k, (_, target, _) in enumerate(updates):
        copied_from = updates[k - k % QUICK.target_every][0]
        assert all((p == q).all() for p, q in zip(target, copied_from, strict=True))
    assert all(
        any((p != q).any() for p, q in zip(now[0], later[0], strict=True))
        for now, later in pairwise(updates)
    )


def test_each_seed_learns_from_true_transitions_of_its_own_environments(monkeypatch):
    mdps = [chain(reward) for reward in (1.0, 2.0, 3.0)]
    env = OneHotEnv([mdp for mdp in mdps for _ in range(2)], horizon=4)
    config = replace(QUICK, total_steps=200)
    updates, _ = recorded_updates(monkeypatch, env, config, seed=0, num_seeds=3, snapshot_every=200)
    batch = Transitions(*(torch.cat(x, dim=1) for x in zip(*(u[2] for u in updates), strict=True)))
    for seed, mdp in enumerate(mdps):
        obs, action, reward, next_obs, terminated, truncated = (x[seed] for x in batch)
        state, next_state = obs.argmax(dim=1), next_obs.argmax(dim=1)
        assert (mdp.P[state, action, next_state] == 1).all()
        np.testing.assert_array_equal(reward, mdp.R[state, action].astype(np.float32))
        np.testing.assert_array_equal(terminated, mdp.terminal[next_state])
        assert terminated.any()
        assert truncated.any()


def greedy_shares(config, num_copies=600):
    """The share of greedy actions at each step of a network that never learns."""
    env = OneHotEnv([chain()] * num_copies)
    config = replace(config, learning_starts=10**6, total_steps=10 * num_copies)
    *_, last = dqn.learn(env, config, seed=0, snapshot_every=config.total_steps)
    policy = greedy_policy(last.net)
    replayed = OneHotEnv([chain()] * num_copies)
    obs, _ = replayed.reset(seed=0)
    shares = []
    for action in env.actions:
        shares.append((policy(obs) == action).mean())
        obs = replayed.step(action)[0]
    return np.array(shares)


def test_exploration_falls_linearly_to_its_final_share():
    shares = greedy_shares(
        replace(QUICK, epsilon_steps=5 * 600, final_epsilon=0.2, buffer_size=600)
    )
    epsilon = 1 + (0.2 - 1) * np.minimum(np.arange(1, 11) / 5, 1)
    expected = 1 - epsilon * (ACTIONS - 1) / ACTIONS
    assert (abs(shares - expected) < 4 * np.sqrt(0.25 / 600)).all()  # four standard errors


def test_without_exploration_every_action_is_the_networks_best():
    shares = greedy_shares(replace(QUICK, epsilon_steps=1, final_epsilon=0.0, buffer_size=600))
    assert (shares == 1).all()


def test_the_greedy_policy_asks_each_seeds_own_network():
    net = stacked_mlp((1, 3), num_copies=2)
    net[0].weight.data = torch.tensor([[[1.0, 0.0, -1.0]], [[-1.0, 0.0, 1.0]]])
    net[0].bias.data.zero_()
    obs = np.array([[1.0], [-1.0], [2.0], [1.0], [-1.0], [2.0]])  # three for each seed
    action = greedy_policy(net)(obs)
    assert action.tolist() == [0, 2, 0, 2, 0, 2]
    assert action.dtype == np.int64


@pytest.mark.parametrize(("num_envs", "every"), [(1, 20), (4, 20), (4, 10), (3, 20), (8, 5)])
def test_a_snapshot_comes_whenever_so_many_more_steps_are_done(num_envs, every):
    env = OneHotEnv([chain()] * num_envs)
    steps = [s.step for s in dqn.learn(env, QUICK, seed=0, snapshot_every=every)]
    marks = range(every, 61, every)
    expected = dict.fromkeys(-(-mark // num_envs) * num_envs for mark in marks)  # rounded up
    assert steps == list(expected)
    assert len(env.actions) == -(-60 // num_envs)


def test_a_snapshots_loss_is_the_mean_since_the_last_one_and_nan_before_learning(monkeypatch):
    losses, loss = [], dqn.dqn_loss

    def recording_loss(*arguments):
        losses.append(loss(*arguments))
        return losses[-1]

    monkeypatch.setattr(dqn, "dqn_loss", recording_loss)
    env = OneHotEnv([chain()] * 4)
    for snapshot in dqn.learn(env, QUICK, seed=0, num_seeds=2, snapshot_every=6):
        if snapshot.step < 10:
            assert snapshot.loss.shape == (2,)
            assert np.isnan(snapshot.loss).all()
        else:
            expected = torch.stack(losses).mean(dim=0).detach()
            np.testing.assert_allclose(snapshot.loss, expected, rtol=1e-5)
        losses.clear()


def test_one_seed_repeats_itself_and_another_does_not():
    def weights(seed):
        env = OneHotEnv([chain()] * 4, horizon=6)
        *_, last = dqn.learn(env, QUICK, seed=seed, num_seeds=2, snapshot_every=60)
        return torch.cat([p.flatten() for p in parameters(last.net)])

    state = torch.random.get_rng_state()
    first = weights(3)
    torch.manual_seed(1)
    assert (first == weights(3)).all()  # whatever the global generator does
    assert (first != weights(4)).any()
    torch.random.set_rng_state(state)


def test_training_keeps_each_seeds_best_snapshot():
    returns = np.array([[1.0, 5.0], [7.0, 5.0], [2.0, 4.0], [7.0, 3.0]])
    seen, steps = [], []

    def evaluate(net, step):
        seen.append(parameters(net))
        steps.append(step)
        return returns[len(seen) - 1]

    env = OneHotEnv([chain()] * 4)
    config = replace(QUICK, total_steps=80)
    result = dqn.train(env, config, evaluate=evaluate, seed=0, num_seeds=2, snapshot_every=20)
    assert result.steps.tolist() == steps == [20, 40, 60, 80]
    np.testing.assert_array_equal(result.returns, returns)
    assert result.losses.shape == (4, 2)
    assert np.isfinite(result.losses).all()
    for seed, best in enumerate([1, 0]):  # the first of equally good ones
        for kept, wanted in zip(result.net.parameters(), seen[best], strict=True):
            assert (kept[seed] == wanted[seed]).all()


def test_an_evaluation_of_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"evaluate must return \(1,\) returns: \(3,\)"):
        dqn.train(
            OneHotEnv([chain()]),
            QUICK,
            evaluate=lambda net, step: np.zeros(3),
            seed=0,
            snapshot_every=20,
        )


@pytest.mark.parametrize("double", [True, False])
def test_a_chain_cut_short_is_solved_exactly(double):
    # Episodes of three steps: were truncation taken for an end, the far states would be worth 0.
    config = DQNConfig(
        total_steps=3_200,
        gamma=0.9,
        hidden=(32,),
        lr=1e-2,
        buffer_size=2_000,
        learning_starts=200,
        updates_per_step=4,
        target_every=20,
        epsilon_steps=1,
        final_epsilon=1.0,
        double=double,
        loss="mse",
    )
    mdp, num_seeds = chain(), 2
    env = OneHotEnv([mdp] * 16 * num_seeds, horizon=3)
    *_, last = dqn.learn(env, config, seed=0, num_seeds=num_seeds, snapshot_every=3_200)
    with torch.no_grad():
        q = last.net(torch.eye(STATES).expand(num_seeds, -1, -1)).numpy()
    exact = planning.policy_iteration(mdp).q
    np.testing.assert_allclose(q[:, :-1], np.broadcast_to(exact[:-1], (2, 4, 2)), atol=0.02)


def test_environments_that_do_not_fit_are_named():
    world = TabularEnv([gridworld("S.G").mdp] * 4)
    with pytest.raises(ValueError, match="flat Box observations, got Discrete"):
        next(dqn.learn(world, QUICK, seed=0))
    with pytest.raises(ValueError, match="4 environments do not split among 3 seeds"):
        next(dqn.learn(OneHotEnv([chain()] * 4), QUICK, seed=0, num_seeds=3))


def test_the_edges_of_the_configurations_ranges_are_valid():
    DQNConfig(gamma=0.0, learning_starts=0, final_lr=0.0, final_epsilon=0.0, target_every=1)
    DQNConfig(gamma=1.0, final_epsilon=1.0, hidden=(), loss="mse")
    assert DQNConfig().loss == "huber"
