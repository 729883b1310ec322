"""Trials: several episodes of one task, played in one go by a network that remembers them.

At each step the network is told the observation, the action and reward that led there, and whether
an episode begins. Its state is carried on until the trial ends. Axes: (time, task, feature), with
time running over all episodes of the trial.
"""

from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor
from torch.nn import functional

from metarl_lite.checks import check_count
from metarl_lite.nets import RecurrentActorCritic, log_prob, sample_categorical


class Trials(NamedTuple):
    """What happened in one trial of each task; the leading axes are (time, task)."""

    inputs: Tensor  # (time, task, input) float32: what the network was told before each action
    action: Tensor  # int64
    reward: Tensor  # float32
    log_prob: Tensor  # of the action, when it was taken
    value: Tensor  # of the state it was taken in


def input_size(env: gym.vector.VectorEnv) -> int:
    """Return the length of one input: observation, action one-hot, reward, beginning or not."""
    return sum(_obs_sizes(env)) + num_actions(env) + 2


def num_actions(env: gym.vector.VectorEnv) -> int:
    """Return the number of actions; ValueError where they are not Discrete."""
    if not isinstance(env.single_action_space, gym.spaces.Discrete):
        raise ValueError(f"env must have Discrete actions, got {env.single_action_space}")
    return int(env.single_action_space.n)


def encode(
    env: gym.vector.VectorEnv,
    obs: np.ndarray,
    action: Tensor,
    reward: Tensor,
    *,
    begins: bool | Tensor,
) -> Tensor:
    """Return what the network is told before its next action, (task, input).

    `obs` is where the task stands now: whole numbers become one-hot, a Box stays as it is. `action`
    (task,) int64 and `reward` (task,) are those of the step that led there; `begins`, one for all
    or (task,), says that this is an episode's first observation.
    """
    seen = torch.from_numpy(obs).reshape(len(obs), -1)
    if isinstance(env.single_observation_space, gym.spaces.Box):
        parts = [seen.float()]
    else:
        columns = zip(seen.unbind(dim=1), _obs_sizes(env), strict=True)
        parts = [functional.one_hot(x, n) for x, n in columns]
    flag = torch.as_tensor(begins, dtype=torch.float32).expand(len(obs)).unsqueeze(-1)
    last = functional.one_hot(action, num_actions(env))
    return torch.cat([*parts, last, reward.unsqueeze(-1), flag], dim=1)


@torch.no_grad()
def play(
    net: RecurrentActorCritic,
    env: gym.vector.VectorEnv,
    *,
    num_episodes: int = 1,
    num_steps: int = 0,
    greedy: bool = False,
    generator: torch.Generator,
) -> Trials:
    """Return one trial of `num_episodes` episodes in every task of `env`, from an empty state.

    The state is never reset inside a trial. `env` must leave resets to its caller
    (AutoresetMode.DISABLED), and its episodes all end at the same step. Where they do not, give
    `num_steps` and an `env` that restarts them within the step (SAME_STEP): the trial has that
    length, and as many episodes as a task fits into it. `greedy` takes the likeliest action.
    """
    check_count("num_episodes", num_episodes)
    check_count("num_steps", num_steps, least=0)
    mode, found = AutoresetMode.DISABLED, env.metadata["autoreset_mode"]
    if num_steps:
        mode = AutoresetMode.SAME_STEP
    if found is not mode:
        raise ValueError(f"with num_steps={num_steps} autoreset_mode must be {mode}, got {found}")
    obs, _ = env.reset(seed=int(torch.randint(2**31, (), generator=generator)))
    state = net.initial_state(env.num_envs)
    action = torch.zeros(env.num_envs, dtype=torch.int64)
    reward = torch.zeros(env.num_envs)
    begins = torch.ones(env.num_envs, dtype=torch.bool)
    steps, episodes_left = [], num_episodes
    while len(steps) < num_steps if num_steps else episodes_left:
        inputs = encode(env, obs, action, reward, begins=begins)
        state = net.step(inputs, state)
        logits, value = net.heads(state)
        action = logits.argmax(-1) if greedy else sample_categorical(logits, generator=generator)
        obs, rewards, terminated, truncated, _ = env.step(action.numpy())
        reward = torch.from_numpy(rewards).float()
        steps.append((inputs, action, reward, log_prob(logits, action), value))
        begins = torch.from_numpy(terminated | truncated)
        if not num_steps and begins.all():
            obs, episodes_left = env.reset()[0], episodes_left - 1
    return Trials(*(torch.stack(column) for column in zip(*steps, strict=True)))


def episode_returns(trials: Trials, *, num_episodes: int = 1) -> np.ndarray:
    """Return the (episode, task) sums of rewards of each episode of a trial."""
    return trials.reward.unflatten(0, (num_episodes, -1)).sum(dim=1).numpy()


def returns_by_episode(trials: Trials, *, num_episodes: int) -> np.ndarray:
    """Return the (episode, task) sums of rewards of episodes that end at different steps.

    NaN stands where an episode had not ended when its trial did.
    """
    check_count("num_episodes", num_episodes)
    number = trials.inputs[..., -1].cumsum(dim=0)  # 1 during the first episode
    returns = np.full((num_episodes, number.shape[1]), np.nan)
    for episode in range(num_episodes):
        total = (trials.reward * (number == episode + 1)).sum(dim=0).numpy()
        ended = (number[-1] > episode + 1).numpy()
        returns[episode, ended] = total[ended]
    return returns


def _obs_sizes(env: gym.vector.VectorEnv) -> list[int]:
    """Return the length of each component of an observation in an input."""
    space = env.single_observation_space
    if isinstance(space, gym.spaces.Box):
        return [int(np.prod(space.shape))]
    if isinstance(space, gym.spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, gym.spaces.MultiDiscrete):
        return space.nvec.tolist()
    raise ValueError(f"env must have Box, Discrete or MultiDiscrete observations, got {space}")
