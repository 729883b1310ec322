from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from metarl_lite.algorithms import policy_gradient as pg
from metarl_lite.algorithms.policy_gradient import PolicyGradientConfig
from metarl_lite.envs.cartpole import STANDARD, VectorCartPole
from metarl_lite.envs.mdp import MDP
from metarl_lite.envs.tabular import TabularEnv
from metarl_lite.nets import stacked_mlp
from metarl_lite.oracles import planning
from metarl_lite.oracles import policy_gradient as oracle
from metarl_lite.rollout import Transitions, greedy_policy

SEEDS, TIME, ENVS, OBS, ACTIONS = 2, 6, 3, 4, 2
QUICK = PolicyGradientConfig(num_updates=6, num_steps=5, hidden=(8,), gamma=0.9, gae_lambda=0.8)


class OneHotEnv(TabularEnv):
    """Finite MDPs whose observation is the state's unit vector: a linear policy is a table."""

    def __init__(self, mdps, **kwargs):
        super().__init__(mdps, **kwargs)
        self.unit = np.eye(mdps[0].num_states, dtype=np.float32)
        self.single_observation_space = gym.spaces.Box(0.0, 1.0, (mdps[0].num_states,))

    def reset(self, **kwargs):
        state, infos = super().reset(**kwargs)
        return self.unit[state], infos

    def step(self, actions):
        state, *outcome, infos = super().step(actions)
        infos["final_obs"] = self.unit[infos["final_obs"]]
        return self.unit[state], *outcome, infos


def fork(num_steps=3):
    """Walk on (action 0) to a prize of 1, or stop at once (action 1) for 0.3; moves can fail."""
    P, R = np.zeros((num_steps + 1, 2, num_steps + 1)), np.zeros((num_steps + 1, 2))
    for state in range(num_steps):
        P[state, 0, state + 1], P[state, 0, state] = 0.8, 0.2
        P[state, 1, num_steps] = 1.0
        R[state, 1] = 0.3
    R[num_steps - 1, 0] = 0.8
    P[num_steps, :, num_steps] = 1.0
    return MDP(P, R, gamma=0.99, start=np.eye(num_steps + 1)[0])


@pytest.fixture
def batch():
    """Random transitions (seed, time, env), in float64: each goes on where the last one led."""
    generator = torch.Generator().manual_seed(0)
    shape = (SEEDS, TIME, ENVS)
    ends = torch.arange(SEEDS * TIME * ENVS).reshape(shape) % 7
    goes_on = ((ends != 1) & (ends != 4))[:, :-1, :, None]
    obs, next_obs = torch.randn(2, *shape, OBS, generator=generator).double()
    next_obs[:, :-1] = torch.where(goes_on, obs[:, 1:], next_obs[:, :-1])
    return Transitions(
        obs=obs,
        action=torch.randint(ACTIONS, shape, generator=generator),
        reward=torch.randn(shape, generator=generator).double(),
        next_obs=next_obs,
        terminated=ends == 1,
        truncated=ends == 4,
    )


@pytest.fixture
def nets():
    generator = torch.Generator().manual_seed(1)
    return [
        stacked_mlp((OBS, 5, size), num_copies=SEEDS, generator=generator).double()
        for size in (ACTIONS, 1)
    ]


@pytest.fixture
def alive():
    """The first steps of every copy count, in each another number."""
    return torch.arange(TIME)[:, None] < torch.tensor([[2, 4, 6], [1, 6, 3]])[:, None]


def one_value(critic, seed, obs):
    """The value of one observation, from the weights of one seed."""
    hidden = torch.relu(obs @ critic[0].weight[seed] + critic[0].bias[seed, 0])
    return (hidden @ critic[2].weight[seed] + critic[2].bias[seed, 0]).item()


def test_advantages_are_the_sum_of_discounted_errors_step_by_step(batch, nets):
    critic = nets[1]
    advantage, target = pg.advantages(critic, batch, QUICK)
    for seed, t, env in np.ndindex(SEEDS, TIME, ENVS):
        expected, weight = 0.0, 1.0
        for k in range(t, TIME):
            here = seed, k, env
            ahead = 0.0 if batch.terminated[here] else one_value(critic, seed, batch.next_obs[here])
            error = batch.reward[here] + 0.9 * ahead - one_value(critic, seed, batch.obs[here])
            expected += weight * error.item()
            weight *= 0.9 * 0.8
            if batch.terminated[here] or batch.truncated[here]:
                break
        value = one_value(critic, seed, batch.obs[seed, t, env])
        assert advantage[seed, t, env].item() == pytest.approx(expected)
        assert target[seed, t, env].item() == pytest.approx(expected + value)
    assert not advantage.requires_grad
    assert not target.requires_grad


def test_without_a_critic_the_advantage_is_the_reward_to_go(batch, nets):
    config = replace(QUICK, critic_updates=0, gae_lambda=1.0)
    advantage, target = pg.advantages(nets[1], batch, config)
    ended = batch.terminated | batch.truncated
    for seed, env in np.ndindex(SEEDS, ENVS):
        later = 0.0
        for t in reversed(range(TIME)):
            later = batch.reward[seed, t, env] + 0.9 * later * ~ended[seed, t, env]
            torch.testing.assert_close(advantage[seed, t, env], later)
    torch.testing.assert_close(advantage, target)


def test_the_policy_s_loss_is_summed_over_live_steps_and_averaged_over_copies(batch, nets, alive):
    policy, advantage = nets[0], batch.reward
    loss = pg.policy_loss(policy, batch, advantage, alive, entropy_coef=0.3)
    for seed in range(SEEDS):
        expected = 0.0
        for t, env in np.ndindex(TIME, ENVS):
            if not alive[seed, t, env]:
                continue
            hidden = torch.relu(
                batch.obs[seed, t, env] @ policy[0].weight[seed] + policy[0].bias[seed, 0]
            )
            logits = hidden @ policy[2].weight[seed] + policy[2].bias[seed, 0]
            chances = torch.distributions.Categorical(logits=logits)
            gain = chances.log_prob(batch.action[seed, t, env]) * advantage[seed, t, env]
            expected = expected - (gain + 0.3 * chances.entropy()) / ENVS
        torch.testing.assert_close(loss[seed], expected)


def test_the_critic_s_loss_is_the_mean_square_over_live_steps(batch, nets, alive):
    loss = pg.critic_loss(nets[1], batch, batch.reward, alive)
    for seed in range(SEEDS):
        errors = [
            (one_value(nets[1], seed, batch.obs[seed, t, env]) - batch.reward[seed, t, env]) ** 2
            for t, env in np.ndindex(TIME, ENVS)
            if alive[seed, t, env]
        ]
        assert loss[seed].item() == pytest.approx(np.mean(errors))


def test_seeds_share_no_gradient(batch, nets, alive):
    pg.policy_loss(nets[0], batch, batch.reward, alive, entropy_coef=0.1)[0].backward()
    for parameter in nets[0].parameters():
        assert parameter.grad[0].any()
        assert not parameter.grad[1].any()


def test_complete_episodes_end_once_and_what_follows_does_not_count():
    env = VectorCartPole(STANDARD.repeat(SEEDS * ENVS), horizon=30)
    env.reset(seed=0)
    policy = stacked_mlp((OBS, ACTIONS), num_copies=SEEDS)
    generator = torch.Generator().manual_seed(0)
    obs = torch.full((SEEDS * ENVS, OBS), 9.0)  # where another rollout stopped: must not be used
    batch, alive, _ = pg._collect(env, obs, policy, 0, generator)
    assert batch.obs[:, 0].abs().max() <= 0.05
    ended = batch.terminated | batch.truncated
    length = alive.sum(dim=1)  # (seed, env)
    for seed, env_index in np.ndindex(SEEDS, ENVS):
        last = length[seed, env_index] - 1
        assert alive[seed, : last + 1, env_index].all()
        assert ended[seed, : last + 1, env_index].nonzero().flatten().tolist() == [last]
    assert length.max() == alive.shape[1]


def test_segments_follow_each_other_without_a_gap():
    env = VectorCartPole(STANDARD.repeat(SEEDS * ENVS))
    obs = torch.from_numpy(env.reset(seed=0)[0])
    policy = stacked_mlp((OBS, ACTIONS), num_copies=SEEDS)
    generator = torch.Generator().manual_seed(0)
    first, alive, obs = pg._collect(env, obs, policy, 4, generator)
    second, _, _ = pg._collect(env, obs, policy, 4, generator)
    assert alive.all()
    assert first.obs.shape == (SEEDS, 4, ENVS, OBS)
    torch.testing.assert_close(second.obs[:, 0].flatten(0, 1), obs)
    torch.testing.assert_close(first.obs[:, 1:], first.next_obs[:, :-1])  # nothing falls so soon


def test_the_sampled_gradient_is_unbiased_without_a_discount():
    """Complete episodes, gamma 1: the mean of many losses has the exact gradient of J."""
    mdp = fork()
    env = OneHotEnv([mdp] * 20_000, horizon=1_000)
    env.reset(seed=0)
    policy = nn.Sequential(stacked_mlp((4, ACTIONS))[0])
    nn.init.zeros_(policy[0].bias)
    logits = policy[0].weight[0].detach().double()
    generator = torch.Generator().manual_seed(0)
    batch, alive, _ = pg._collect(env, None, policy, 0, generator)
    config = replace(QUICK, gamma=1.0, gae_lambda=1.0, critic_updates=0)
    advantage, _ = pg.advantages(None, batch, config)
    pg.policy_loss(policy, batch, advantage, alive, entropy_coef=0.0).sum().backward()
    undiscounted = MDP(mdp.P, mdp.R, gamma=1 - 1e-9, start=mdp.start)
    exact = oracle.gradient(undiscounted, logits)
    assert exact[:3].abs().min() > 0.01
    torch.testing.assert_close(-policy[0].weight.grad[0].double(), exact, rtol=0, atol=0.01)


@pytest.mark.parametrize("change", [{}, {"num_steps": 0, "gae_lambda": 1.0, "critic_updates": 0}])
def test_it_learns_to_walk_to_the_prize(change):
    mdp = fork()
    best = planning.value_iteration(mdp, tolerance=1e-12).v[0]
    config = PolicyGradientConfig(num_updates=60, num_steps=8, hidden=(16,), lr=2e-2)
    env = OneHotEnv([mdp] * 3 * 16, horizon=50)
    *_, last = pg.learn(env, replace(config, **change), seed=0, num_seeds=3)
    every_state = np.tile(env.unit, (3, 1))
    for actions in greedy_policy(last.policy)(every_state).reshape(3, -1):
        assert planning.evaluate_policy(mdp, actions)[0] == pytest.approx(best)


def test_snapshots_count_the_steps_of_every_seed():
    env = VectorCartPole(STANDARD.repeat(4))
    snapshots = pg.learn(env, QUICK, seed=0, num_seeds=2, snapshot_every=2)
    assert [snapshot.step.tolist() for snapshot in snapshots] == [[20, 20], [40, 40], [60, 60]]


def test_steps_after_an_episode_s_end_are_not_counted():
    class Counting(OneHotEnv):
        """Copies of different horizons: copy i is truncated after i + 1 steps."""

        def step(self, actions):
            self.horizon = np.arange(1, self.num_envs + 1)
            return super().step(actions)

    stays = MDP(np.eye(2)[:, None].repeat(2, axis=1), np.ones((2, 2)), 0.9)
    config = replace(QUICK, num_steps=0, num_updates=2)
    *_, last = pg.learn(Counting([stays] * 4), config, seed=0, num_seeds=2, snapshot_every=1)
    assert last.step.tolist() == [2 * (1 + 2), 2 * (3 + 4)]


def test_the_learning_rates_fall_to_zero():
    def weights(snapshot):
        parameters = [*snapshot.policy.parameters(), *snapshot.critic.parameters()]
        return nn.utils.parameters_to_vector(parameters).detach().clone()

    env = VectorCartPole(STANDARD.repeat(4))
    config = replace(QUICK, num_updates=20, critic_updates=1, lr=0.01, critic_lr=0.01)
    course = [weights(s) for s in pg.learn(env, config, seed=0, snapshot_every=1)]
    first, last = ((b - a).abs().max().item() for a, b in (course[:2], course[-2:]))
    assert first > 0.005  # Adam moves a weight by about its rate
    assert last < 0.05 * 0.01 * 2


def test_the_same_seed_gives_the_same_networks():
    def weights(seed):
        env = VectorCartPole(STANDARD.repeat(4))
        *_, last = pg.learn(env, QUICK, seed=seed, num_seeds=2, snapshot_every=1)
        return nn.utils.parameters_to_vector([*last.policy.parameters(), *last.critic.parameters()])

    torch.testing.assert_close(weights(3), weights(3), rtol=0, atol=0)
    assert (weights(3) - weights(4)).abs().max() > 0.01


def test_without_critic_updates_the_critic_stays_as_it_was_born():
    env = VectorCartPole(STANDARD.repeat(4))
    config = replace(QUICK, critic_updates=0)
    first, last = (
        next(pg.learn(env, replace(config, num_updates=n), seed=0, snapshot_every=n)).critic
        for n in (1, 4)
    )
    torch.testing.assert_close(first.state_dict(), last.state_dict(), rtol=0, atol=0)
