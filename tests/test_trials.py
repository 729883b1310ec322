import gymnasium as gym
import numpy as np
import pytest
import torch

from metarl_lite.algorithms.rl2 import make_net
from metarl_lite.envs.bandits import BernoulliBandits
from metarl_lite.envs.flappy import VectorFlappyBird, sample_tasks
from metarl_lite.envs.gridnav import GridNav
from metarl_lite.trials import (
    encode,
    episode_returns,
    input_size,
    num_actions,
    play,
    returns_by_episode,
)

GOALS = np.array([[2, 3], [4, 0], [0, 2]])


def grid_trials(*, seed=0, horizon=4, num_episodes=3):
    env = GridNav(GOALS, horizon=horizon)
    net = make_net(env, hidden_size=8, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return net, play(net, env, num_episodes=num_episodes, generator=generator)


def test_an_input_is_observation_and_action_one_hot_reward_and_beginning():
    env = GridNav(GOALS[:2], size=5)
    obs = np.array([[0, 0], [2, 4]])
    inputs = encode(env, obs, torch.tensor([0, 3]), torch.tensor([1.0, -0.1]), begins=True)
    by_hand = [
        [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1.0, 1],
        [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, -0.1, 1],
    ]
    torch.testing.assert_close(inputs, torch.tensor(by_hand))
    assert (input_size(env), num_actions(env)) == (17, 5)


def test_a_bandit_shows_nothing_but_action_reward_and_beginning():
    env = BernoulliBandits(np.full((2, 3), 0.5), horizon=2)
    inputs = encode(
        env, np.zeros(2, dtype=int), torch.tensor([1, 2]), torch.tensor([1.0, 0.0]), begins=False
    )
    assert inputs.tolist() == [[1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 0, 0]]


def test_the_state_is_carried_through_the_whole_trial():
    net, trials = grid_trials()
    assert trials.inputs.shape == (12, 3, 17)
    logits, value = net.heads(net.states(trials.inputs))  # one pass over all three episodes
    log_prob = logits.log_softmax(-1).gather(-1, trials.action[..., None])[..., 0]
    torch.testing.assert_close(log_prob, trials.log_prob)
    torch.testing.assert_close(value, trials.value)


def test_every_input_tells_what_the_step_before_did():
    _, trials = grid_trials()
    told_action = trials.inputs[1:, :, 10:15].argmax(dim=-1)
    assert torch.equal(told_action, trials.action[:-1])
    assert torch.equal(trials.inputs[1:, :, 15], trials.reward[:-1])
    assert trials.inputs[0, :, 15].eq(0).all()


def test_episodes_begin_at_the_start_and_say_so():
    _, trials = grid_trials()
    begins = trials.inputs[:, :, -1]
    assert begins[:, 0].tolist() == [1, 0, 0, 0] * 3
    row, column = trials.inputs[:, :, :5].argmax(-1), trials.inputs[:, :, 5:10].argmax(-1)
    assert (row + column)[[0, 4, 8]].eq(0).all()


def test_rewards_are_those_of_the_environment():
    _, trials = grid_trials(seed=3, horizon=15, num_episodes=2)
    env = GridNav(GOALS)
    for t, action in enumerate(trials.action):
        if t % 15 == 0:
            env.reset()
        rewards = env.step(action.numpy())[1]
        torch.testing.assert_close(trials.reward[t], torch.from_numpy(rewards).float())


def test_returns_are_summed_episode_by_episode():
    _, trials = grid_trials()
    reward = torch.arange(36.0).reshape(12, 3)
    returns = episode_returns(trials._replace(reward=reward), num_episodes=3)
    assert returns.tolist() == [[18, 22, 26], [66, 70, 74], [114, 118, 122]]


def test_the_same_generator_gives_the_same_trial_and_another_one_another():
    (_, one), (_, same), (_, other) = grid_trials(), grid_trials(), grid_trials(seed=1)
    assert torch.equal(one.action, same.action)
    assert not torch.equal(one.action, other.action)


def test_actions_follow_the_policy():
    env = BernoulliBandits(np.full((20_000, 2), 0.5), horizon=1)
    net = make_net(env, seed=0)
    with torch.no_grad():
        net.policy.weight.zero_()
        net.policy.bias.copy_(torch.tensor([0.2, 0.8]).log())
    trials = play(net, env, generator=torch.Generator().manual_seed(0))
    share = trials.action.float().mean().item()
    assert share == pytest.approx(0.8, abs=4 * (0.16 / 20_000) ** 0.5)


def test_environments_that_reset_themselves_are_refused():
    net = make_net(GridNav(GOALS), seed=0)
    env = GridNav(GOALS)
    env.metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    with pytest.raises(ValueError, match="DISABLED"):
        play(net, env, generator=torch.Generator())


def test_observations_that_are_neither_numbers_nor_classes_are_refused():
    env = GridNav(GOALS)
    env.single_observation_space = gym.spaces.Dict({"cell": gym.spaces.Discrete(2)})
    with pytest.raises(ValueError, match="Box, Discrete or MultiDiscrete"):
        input_size(env)


def bird_trials(*, num_steps=150, num_tasks=5, seed=0, **settings):
    """Play untrained birds: they crash at different steps, each several times."""
    env = VectorFlappyBird(sample_tasks(np.random.default_rng(seed), num_tasks))
    net = make_net(env, hidden_size=8, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return net, env, play(net, env, num_steps=num_steps, generator=generator, **settings)


def test_a_box_is_told_as_it_is_and_each_bird_has_a_beginning_of_its_own():
    env = VectorFlappyBird(sample_tasks(np.random.default_rng(0), 2))
    obs = np.arange(16, dtype=np.float32).reshape(2, 8) / 10
    action, reward = torch.tensor([0, 1]), torch.tensor([1.0, -1.0])
    inputs = encode(env, obs, action, reward, begins=torch.tensor([False, True]))
    by_hand = [[*obs[0], 1, 0, 1.0, 0], [*obs[1], 0, 1, -1.0, 1]]
    torch.testing.assert_close(inputs, torch.tensor(np.array(by_hand, dtype=np.float32)))
    assert input_size(env) == 12


def test_birds_end_their_games_at_steps_of_their_own_and_their_states_go_on():
    net, _, trials = bird_trials()
    begins = trials.inputs[..., -1]
    assert begins.shape == (150, 5)
    assert begins[0].eq(1).all()
    assert begins[1:].sum(dim=0).min() > 0
    assert (begins[1:] != begins[1:, :1]).any()
    logits, value = net.heads(net.states(trials.inputs))
    torch.testing.assert_close(value, trials.value)
    log_prob = logits.log_softmax(-1).gather(-1, trials.action[..., None])[..., 0]
    torch.testing.assert_close(log_prob, trials.log_prob)


def test_a_bird_hears_of_its_crash_when_its_next_game_begins():
    _, _, trials = bird_trials()
    begins = trials.inputs[1:, :, -1].bool()
    assert torch.equal(begins, trials.reward[:-1] == -1)
    assert trials.inputs[1:, :, 10][begins].eq(-1).all()
    assert trials.inputs[1:, :, 1][begins].eq(0).all()  # at rest: the first observation of a game
    assert torch.equal(trials.inputs[1:, :, 9], trials.action[:-1].float())


def test_one_bird_restarts_by_itself_and_only_once():
    """A second reset at the end of a game would draw its pipes anew."""
    _, env, trials = bird_trials(num_tasks=1)
    seed = int(torch.randint(2**31, (), generator=torch.Generator().manual_seed(0)))
    obs, _ = env.reset(seed=seed)
    for inputs, action in zip(trials.inputs[:, 0], trials.action, strict=True):
        torch.testing.assert_close(inputs[:8], torch.from_numpy(obs[0]))
        obs, *_ = env.step(action.numpy())
    assert trials.inputs[:, 0, -1].sum() > 2


def test_returns_by_episode_equal_a_slow_count():
    _, _, trials = bird_trials(num_steps=100)
    returns = returns_by_episode(trials, num_episodes=4)
    for task in range(5):
        totals, total = [], 0.0
        for t, reward in enumerate(trials.reward[:, task].tolist()):
            if t and trials.inputs[t, task, -1] == 1:
                totals, total = [*totals, total], 0.0
            total += reward
        totals = (totals + [np.nan] * 4)[:4]
        np.testing.assert_allclose(returns[:, task], totals)
    assert np.isnan(returns).any()
    assert np.isfinite(returns).any()


def test_where_episodes_end_together_both_ways_to_sum_agree():
    _, trials = grid_trials()
    by_flags = returns_by_episode(trials, num_episodes=3)
    assert np.isnan(by_flags[2]).all()  # its end is not seen
    both = episode_returns(trials, num_episodes=3)
    np.testing.assert_allclose(by_flags[:2], both[:2], rtol=1e-6)


def test_a_greedy_trial_takes_the_likeliest_actions():
    net, _, trials = bird_trials(greedy=True)
    logits, _ = net.heads(net.states(trials.inputs))
    assert torch.equal(trials.action, logits.argmax(dim=-1))
    _, _, sampled = bird_trials()
    assert not torch.equal(trials.action, sampled.action)


def test_trials_of_fixed_length_need_environments_that_reset_themselves():
    env = GridNav(GOALS)
    with pytest.raises(ValueError, match="SAME_STEP"):
        play(make_net(env, seed=0), env, num_steps=5, generator=torch.Generator())
