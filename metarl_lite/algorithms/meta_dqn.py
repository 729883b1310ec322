"""Meta-DQN: problems for a learned optimizer made of many small deep Q-networks at once.

    loss = mean (q_theta(S, A) - R - gamma max_a q_target(S', a))^2,    target = theta

The gradient is by the first theta only (a semi-gradient). An agent explores its own task, stores
what it meets, and learns from replayed minibatches; there is no target network. Its network is a
flat vector, a coordinate after the other. The axis of agents is written out (batched products of
matrices): the same as `torch.func.vmap` of one agent's loss, and faster for networks this small.
Axes: (agent, batch, feature), parameters (agent, coordinate).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import gymnasium as gym
import torch
from torch import Tensor

from metarl_lite.algorithms.optimizers import Problem
from metarl_lite.checks import check_config, check_count, is_share, real_array
from metarl_lite.nets import mlp_params
from metarl_lite.rollout import ReplayBuffer, Transitions, step


@dataclass(frozen=True)
class AgentConfig:
    """Defaults suit tabular tasks."""

    hidden: tuple[int, ...] = (16,)
    gamma: float = 0.9
    epsilon: float = 0.3  # share of random actions; 1: a fixed behaviour, the same for all learners
    envs_per_agent: int = 16  # each takes one step an update
    batch_size: int = 64
    buffer_size: int = 4_096  # transitions an agent
    first_steps: int = 2  # random steps of every environment before the first update

    def __post_init__(self) -> None:
        """Raise ValueError naming the field that is out of its range."""
        check_config(self, gamma=is_share, epsilon=is_share)


class Experience:
    """Agents' worlds and memories: each `batch` acts once everywhere and replays a minibatch.

    Two of them with the same seed and tasks draw the same chances, whatever their agents do.
    """

    def __init__(
        self, env: gym.vector.VectorEnv, num_agents: int, config: AgentConfig, *, seed: int
    ) -> None:
        check_count("num_agents", num_agents)
        check_count("seed", seed, least=0)
        if env.num_envs != num_agents * config.envs_per_agent:
            raise ValueError(
                f"{num_agents} agents need {config.envs_per_agent} environments each, "
                f"{num_agents * config.envs_per_agent} in all, got {env.num_envs}"
            )
        self.env, self.num_agents, self.config = env, num_agents, config
        self.sizes = network_sizes(env, config)
        self.generator = torch.Generator().manual_seed(seed)
        self.tabular = isinstance(env.single_observation_space, gym.spaces.Discrete)
        obs_dim = 1 if self.tabular else self.sizes[0]
        self.buffer = ReplayBuffer(num_agents, config.buffer_size, obs_dim)
        self.obs = torch.from_numpy(env.reset(seed=seed)[0]).float()
        anyone = torch.zeros(num_agents, _num_parameters(self.sizes))
        for _ in range(config.first_steps):
            self._act(anyone, epsilon=1.0)

    def batch(self, theta: Tensor) -> Transitions:
        """Return a minibatch (agent, batch) after one epsilon-greedy step of every environment."""
        self._act(theta, epsilon=self.config.epsilon)
        drawn = self.buffer.sample(self.config.batch_size, generator=self.generator)
        return drawn._replace(obs=self._inputs(drawn.obs), next_obs=self._inputs(drawn.next_obs))

    def _act(self, theta: Tensor, *, epsilon: float) -> None:
        inputs = self._inputs(self.obs.view(self.num_agents, self.config.envs_per_agent, -1))
        with torch.no_grad():
            q = q_values(theta, inputs, self.sizes)
        anything = torch.randint(q.shape[-1], q.shape[:-1], generator=self.generator)
        explores = torch.rand(q.shape[:-1], generator=self.generator) < epsilon
        action = torch.where(explores, anything, q.argmax(dim=-1))
        transitions, self.obs = step(self.env, self.obs, action.flatten())
        agents = [x.unflatten(0, (self.num_agents, -1)) for x in transitions]
        if self.tabular:
            agents[0], agents[3] = agents[0].unsqueeze(-1), agents[3].unsqueeze(-1)
        self.buffer.add(Transitions(*agents))

    def _inputs(self, obs: Tensor) -> Tensor:
        """Return what the network sees: a state one-hot, or the observation itself."""
        return torch.eye(self.sizes[0])[obs.squeeze(-1).long()] if self.tabular else obs


def network_sizes(env: gym.vector.VectorEnv, config: AgentConfig) -> tuple[int, ...]:
    """Return the layer sizes of the Q-networks for `env`: Discrete or flat Box observations."""
    obs, action = env.single_observation_space, env.single_action_space
    if not isinstance(action, gym.spaces.Discrete):
        raise ValueError(f"Q-learning needs Discrete actions, got {action}")
    if isinstance(obs, gym.spaces.Discrete):
        return int(obs.n), *config.hidden, int(action.n)
    if not isinstance(obs, gym.spaces.Box) or len(obs.shape) != 1:
        raise ValueError(f"observations must be Discrete or a flat Box, got {obs}")
    return obs.shape[0], *config.hidden, int(action.n)


def q_values(theta: Tensor, inputs: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return (agent, batch, action) for networks theta (agent, D) at inputs (agent, batch, in).

    Inputs (batch, in) are shown to every agent.
    """
    shapes = _shapes(sizes)
    parts = theta.split([rows * columns for rows, columns in shapes], dim=1)
    x = inputs.expand(len(theta), *inputs.shape[-2:])
    for i in range(0, len(shapes), 2):
        weight, bias = (parts[j].unflatten(1, shapes[j]) for j in (i, i + 1))
        x = torch.baddbmm(bias, x.relu() if i else x, weight)
    return x


def td_loss(
    theta: Tensor, target: Tensor, batch: Transitions, *, sizes: Sequence[int], gamma: float
) -> Tensor:
    """Return each agent's loss, (agent,): theta (agent, D) learns, target (agent, D) bootstraps."""
    q = q_values(theta, batch.obs, sizes).gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
    next_value = q_values(target, batch.next_obs, sizes).amax(dim=-1)
    return (q - batch.reward - gamma * next_value * ~batch.terminated).square().mean(dim=-1)


def td_gradient(
    theta: Tensor, batch: Transitions, *, sizes: Sequence[int], gamma: float
) -> tuple[Tensor, Tensor]:
    """Return every agent's semi-gradient (agent, D) and loss (agent,).

    It is the derivative by the place of theta that learns. Where theta itself needs a gradient the
    result can be differentiated once more, and then by both places.
    """
    with torch.enable_grad():
        learns = theta.view_as(theta) if theta.requires_grad else theta.detach().requires_grad_()
        target = theta if theta.requires_grad else theta.detach()
        loss = td_loss(learns, target, batch, sizes=sizes, gamma=gamma)
        # agents share no parameter, so the sum leaves their gradients apart
        (gradient,) = torch.autograd.grad(loss.sum(), learns, create_graph=theta.requires_grad)
    return gradient, loss.detach()


def dqn_problem(
    env: gym.vector.VectorEnv,
    score: Callable[[Tensor], Tensor],
    config: AgentConfig = AgentConfig(),
    *,
    num_agents: int,
    seed: int,
) -> Problem:
    """Return the problem of `num_agents` fresh agents, each with its share of `env`'s copies.

    `score(theta)` is what the meta-learner minimises, (agent,). `env` restarts finished episodes
    within the step (see `metarl_lite.rollout.step`). Everything random follows from `seed`.
    """
    experience = Experience(env, num_agents, config, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)  # other numbers than the exploration's
    params = mlp_params(experience.sizes, num_copies=num_agents, generator=generator)

    def gradient(theta: Tensor) -> tuple[Tensor, Tensor]:
        batch = experience.batch(theta.detach())
        return td_gradient(theta, batch, sizes=experience.sizes, gamma=config.gamma)

    theta = torch.cat([p.flatten(1) for p in params.values()], dim=1)
    return Problem(theta, _kinds(experience.sizes), gradient, score)


def updates_until(scores: Tensor, level: float) -> float:
    """Return the first entry at which the mean score over agents is at most `level`, or inf.

    `scores` (update, agent) as from `follow`, which scores the start first: entry k is k updates.
    """
    real_array("level", level)
    reached = (scores.mean(dim=1) <= level).nonzero()
    return float(reached[0]) if len(reached) else float("inf")


def _shapes(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the shapes of weight and bias of each layer in turn, as `mlp_params` orders them."""
    return [
        shape for inputs, outputs in pairwise(sizes) for shape in ((inputs, outputs), (1, outputs))
    ]


def _num_parameters(sizes: Sequence[int]) -> int:
    return sum(rows * columns for rows, columns in _shapes(sizes))


def _kinds(sizes: Sequence[int]) -> Tensor:
    """Return (D,): 0 for weights and 1 for biases of hidden layers, 2 and 3 for the last one's."""
    shapes = _shapes(sizes)
    last = len(shapes) - 2
    return torch.cat(
        [
            torch.full((rows * columns,), i % 2 + 2 * (i >= last))
            for i, (rows, columns) in enumerate(shapes)
        ]
    )
