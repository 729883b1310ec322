"""RL², a learner that learns to learn (Duan et al. 2016, arXiv:1611.02779; Wang et al. 2016).

The network's state is carried through a whole trial, several episodes of one task (see `trials`),
and PPO maximises the return of the trial: exploring pays as soon as what it finds out can still be
used. Axes: (time, task, feature), with time running over the trial.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from metarl_lite.algorithms.ppo import ppo_loss
from metarl_lite.checks import check_config, is_not_negative, is_positive, is_share
from metarl_lite.envs.family import TaskFamily
from metarl_lite.nets import RecurrentActorCritic, entropy, log_prob
from metarl_lite.returns import discounted_returns, gae
from metarl_lite.trials import Trials, episode_returns, input_size, num_actions, play

LearningRewards = Callable[[Any, Trials], Tensor]  # tasks, what happened -> (time, task)


@dataclass(frozen=True)
class RL2Config:
    """Defaults learn bandits of 5 arms and 10 pulls in a quarter of a minute."""

    iterations: int = 100
    num_tasks: int = 256  # fresh tasks an iteration
    num_episodes: int = 1  # of each task: one trial
    num_steps: int = 0  # of a trial whose episodes end at different times; 0: see `trials.play`
    gamma: float = 0.95  # of the trial, across its episodes
    gae_lambda: float = 0.95
    scale_each_step: bool = False  # scale advantages at each time step, not over the whole trial
    lr: float = 5e-3  # Adam's, at the start
    final_lr: float = 5e-4  # reached linearly at the end
    num_epochs: int = 3  # passes over the trials of an iteration
    num_minibatches: int = 8  # gradient steps a pass, of whole trials each
    clip_coef: float = 0.2
    value_coef: float = 0.5
    entropy_coef: float = 0.001  # at the start
    final_entropy_coef: float = 0.001

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(
            self,
            gamma=is_share,
            gae_lambda=is_share,
            num_steps=is_not_negative,
            lr=is_positive,
            final_lr=is_not_negative,
            clip_coef=is_positive,
            value_coef=is_not_negative,
            entropy_coef=is_not_negative,
            final_entropy_coef=is_not_negative,
        )
        if self.num_tasks % self.num_minibatches:
            raise ValueError(
                f"num_tasks, {self.num_tasks}, must be a multiple of num_minibatches, "
                f"{self.num_minibatches}"
            )


@dataclass(frozen=True, eq=False)
class RL2Result:
    """A network, and the mean returns of its trials on fresh tasks while it learned."""

    net: RecurrentActorCritic
    returns: np.ndarray  # (episode,) from `learn`, (iteration, episode) from `train`


def make_net(
    env: gym.vector.VectorEnv, *, hidden_size: int = 64, input_scale: float = 1.0, seed: int
) -> RecurrentActorCritic:
    """Return an untrained network that fits the observations and actions of `env`."""
    return RecurrentActorCritic(
        input_size(env),
        num_actions(env),
        hidden_size=hidden_size,
        input_scale=input_scale,
        generator=torch.Generator().manual_seed(seed),
    )


def advantages(
    trials: Trials, *, gamma: float, gae_lambda: float, scale_each_step: bool = False
) -> tuple[Tensor, Tensor]:
    """Return advantages and value targets, (time, task) each.

    Rewards and advantages are centred at each time step over the tasks: what all tasks have in
    common at time t teaches nothing about actions, and dominates the returns of a long trial. Then
    they are scaled to standard deviation 1: values in tens are more than a small network learns.
    With `scale_each_step` every time step has its own scale: what is found out early decides over
    more rewards, has the larger advantages, and would leave little of the gradient for late steps.
    Nothing follows the end of a trial; the end of an episode inside it changes nothing.
    """
    reward = _centred(trials.reward)
    ends = torch.zeros_like(reward, dtype=torch.bool)
    ends[-1] = True
    never = torch.zeros_like(ends)
    scale = discounted_returns(reward, torch.zeros_like(reward), ends, never, gamma=gamma).std()
    next_value = torch.cat([trials.value[1:], torch.zeros_like(trials.value[:1])])
    advantage = gae(
        reward / (scale + 1e-8),
        trials.value,
        next_value,
        ends,
        never,
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    centred = _centred(advantage)
    std = centred.std(dim=1, keepdim=True) if scale_each_step else centred.std()
    return centred / (std + 1e-8), advantage + trials.value


def trials_loss(
    net: RecurrentActorCritic,
    trials: Trials,
    advantage: Tensor,
    return_: Tensor,
    config: RL2Config,
    *,
    entropy_coef: float,
) -> Tensor:
    """Return PPO's mean loss over whole trials, backpropagated through all of their time."""
    logits, value = net.heads(net.states(trials.inputs))
    return ppo_loss(
        log_prob(logits, trials.action),
        trials.log_prob,
        advantage,
        value,
        return_,
        entropy(logits),
        clip_coef=config.clip_coef,
        value_coef=config.value_coef,
        entropy_coef=entropy_coef,
    ).mean()


def learn(
    net: RecurrentActorCritic,
    family: TaskFamily,
    config: RL2Config = RL2Config(),
    *,
    seed: int,
    learning_rewards: LearningRewards | None = None,
) -> Iterator[RL2Result]:
    """Yield the live network and the (episode,) mean returns of its trials, every iteration.

    Each iteration draws fresh tasks, so these returns are those of tasks never seen before. `net`
    itself stays as it is; the one that is yielded goes on learning. `learning_rewards` says what
    to learn from in place of the rewards paid, such as their means, where the tasks tell them.
    """
    net = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=config.lr, eps=1e-5, fused=True)
    for iteration in range(config.iterations):
        done = iteration / config.iterations
        optimizer.param_groups[0]["lr"] = config.lr + done * (config.final_lr - config.lr)
        tasks = family.sample_tasks(rng, config.num_tasks)
        env = family.make_env(tasks)
        trials = play(
            net,
            env,
            num_episodes=config.num_episodes,
            num_steps=config.num_steps,
            generator=generator,
        )
        reward = learning_rewards(tasks, trials) if learning_rewards else trials.reward
        _improve(net, optimizer, trials._replace(reward=reward), config, done, generator)
        returns = episode_returns(trials, num_episodes=config.num_episodes).mean(axis=1)
        yield RL2Result(net, returns)


def train(
    net: RecurrentActorCritic,
    family: TaskFamily,
    config: RL2Config = RL2Config(),
    *,
    seed: int,
    learning_rewards: LearningRewards | None = None,
    progress: bool = False,
) -> RL2Result:
    """Return the network after `config.iterations`, and how its returns grew."""
    returns = []
    course = learn(net, family, config, seed=seed, learning_rewards=learning_rewards)
    for snapshot in tqdm(course, total=config.iterations, disable=not progress, leave=False):
        returns.append(snapshot.returns)
    return RL2Result(snapshot.net, np.array(returns))


def _improve(net, optimizer, trials: Trials, config: RL2Config, done: float, generator) -> None:
    """Take PPO's gradient steps on minibatches of whole trials; the network changes in place."""
    entropy_coef = config.entropy_coef + done * (config.final_entropy_coef - config.entropy_coef)
    advantage, return_ = advantages(
        trials,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        scale_each_step=config.scale_each_step,
    )
    for _ in range(config.num_epochs):
        order = torch.randperm(config.num_tasks, generator=generator)
        for rows in order.chunk(config.num_minibatches):
            loss = trials_loss(
                net,
                Trials(*(x[:, rows] for x in trials)),
                advantage[:, rows],
                return_[:, rows],
                config,
                entropy_coef=entropy_coef,
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _centred(x: Tensor) -> Tensor:
    """Return x (time, task) less its mean over the tasks at each time."""
    return x - x.mean(dim=1, keepdim=True)
