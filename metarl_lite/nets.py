"""Networks: torch modules whose leading axis is a set of independent copies.

A copy is one seed (or one task): its weights are one slice of a stacked tensor, so eight seeds
train in one program. Copies never mix, forward or backward.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from metarl_lite.checks import check_count


class StackedLinear(nn.Module):
    """`num_copies` independent linear layers: (copies, batch, in) -> (copies, batch, out).

    `weight` (copies, in, out) and `bias` (copies, 1, out) start uniform within +- in**-0.5, as
    those of torch.nn.Linear do.
    """

    def __init__(
        self,
        num_copies: int,
        in_features: int,
        out_features: int,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count("num_copies", num_copies)
        check_count("in_features", in_features)
        check_count("out_features", out_features)
        bound = in_features**-0.5

        def draw(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))

        self.weight = draw(num_copies, in_features, out_features)
        self.bias = draw(num_copies, 1, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Return (copies, batch, out) for inputs (copies, batch, in)."""
        return torch.baddbmm(self.bias, x, self.weight)


def stacked_mlp(
    sizes: Sequence[int], *, num_copies: int = 1, generator: torch.Generator | None = None
) -> nn.Sequential:
    """Return `num_copies` ReLU networks: (copies, batch, sizes[0]) -> (copies, batch, sizes[-1]).

    As a Q-network: sizes = (observation size, *hidden sizes, number of actions). Raises ValueError
    for fewer than two sizes, or for a size or number of copies that is not a positive integer.
    """
    if not isinstance(sizes, Sequence) or len(sizes) < 2:
        raise ValueError(f"sizes must name at least input and output, got {sizes!r}")
    layers: list[nn.Module] = []
    for in_features, out_features in pairwise(sizes):
        layers.append(StackedLinear(num_copies, in_features, out_features, generator=generator))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers[:-1])


def mlp_params(
    sizes: Sequence[int],
    *,
    num_copies: int,
    std: float | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Return the parameters of `num_copies` networks for `mlp`: name -> (copies, ...).

    They start as those of `stacked_mlp`, or, where `std` is given, with biases 0 and weights from a
    normal distribution cut off at two standard deviations (as in Finn et al. 2017's code).
    """
    net = stacked_mlp(sizes, num_copies=num_copies, generator=generator)
    params = {name: p.detach() for name, p in net.named_parameters()}
    if std is not None:
        if not 0 < std < float("inf"):
            raise ValueError(f"std must be a positive number, got {std}")
        for name, p in params.items():
            if name.endswith("bias"):
                p.zero_()
            else:
                nn.init.trunc_normal_(p, std=std, a=-2 * std, b=2 * std, generator=generator)
    return params


def mlp(
    params: dict[str, Tensor], x: Tensor, *, activation: Callable[[Tensor], Tensor] = torch.relu
) -> Tensor:
    """Return (points, out) of one network at `x` (points, in): a function of its parameters.

    `params` is one copy of what `mlp_params` returns: weight and bias of each layer in turn.
    """
    layers = list(params.values())
    *hidden, last = zip(layers[::2], layers[1::2], strict=True)
    for weight, bias in hidden:
        x = activation(x @ weight + bias)
    return x @ last[0] + last[1]


def num_copies(params: dict[str, Tensor]) -> int:
    """Return the length of the leading axis that all `params` share: copies, such as seeds.

    Raises ValueError where they share none.
    """
    sizes = {name: p.shape[0] if p.ndim else 0 for name, p in params.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ValueError(f"all params need the same leading axis of copies, got sizes {sizes}")
    return next(iter(sizes.values()))


def sample_categorical(logits: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Return actions (...) int64 drawn from the softmax of `logits` (..., actions).

    The largest of the logits plus Gumbel noise is such a draw (Gumbel 1954), without a table of
    probabilities and without a gradient.
    """
    waiting = torch.empty_like(logits, requires_grad=False).exponential_(generator=generator)
    return (logits.detach() - waiting.log()).argmax(dim=-1)


def log_prob(logits: Tensor, action: Tensor) -> Tensor:
    """Return log pi(action) (...) under the softmax of `logits` (..., actions).

    Raises ValueError where `action` has another shape: `gather` would take a part without a word.
    """
    if action.shape != logits.shape[:-1]:
        raise ValueError(
            f"action must have shape {tuple(logits.shape[:-1])}, got {tuple(action.shape)}"
        )
    return logits.log_softmax(dim=-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy (...) in nats of the softmax of `logits` (..., actions)."""
    log_probs = logits.log_softmax(dim=-1)
    return -(log_probs.exp() * log_probs).sum(dim=-1)


class RecurrentActorCritic(nn.Module):
    """A GRU whose state gives a policy and a value, as in RL² (Duan et al. 2016, section 2.2).

    Inputs are (task, input) for one step and (time, task, input) for a sequence, states (..., task,
    hidden). An embedding of ReLUs comes before the GRU: "this arm was pulled *and* it paid" is no
    sum of the inputs, which count `input_scale` times: more than 1 where they are small numbers.
    There is one copy of the weights; the tasks are its batch, and never mix.
    """

    def __init__(
        self,
        input_size: int,
        num_actions: int,
        *,
        hidden_size: int = 64,
        input_scale: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count("input_size", input_size)
        check_count("num_actions", num_actions)
        check_count("hidden_size", hidden_size)
        if not 0 < input_scale < float("inf"):
            raise ValueError(f"input_scale must be a positive number, got {input_scale}")
        self.input_scale = input_scale
        self.embedding = nn.Linear(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size)
        self.policy = nn.Linear(hidden_size, num_actions)
        self.value = nn.Linear(hidden_size, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-(hidden_size**-0.5), hidden_size**-0.5, generator=generator)
            self.policy.weight *= 0.1  # nearly uniform at first: every action is tried

    def initial_state(self, num_tasks: int) -> Tensor:
        """Return zeros (task, hidden): what the network knows before a trial, nothing."""
        check_count("num_tasks", num_tasks)
        return self.gru.weight_hh_l0.new_zeros(num_tasks, self.gru.hidden_size)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the state (task, hidden) after one more input (task, input)."""
        return torch.gru_cell(self._embedded(inputs), state, *self.gru.all_weights[0])

    def states(self, inputs: Tensor, state: Tensor | None = None) -> Tensor:
        """Return the states (time, task, hidden) along inputs (time, task, input) of whole trials.

        The same as `step` from `state` (task, hidden) on, or from nothing; gradients pass through.
        """
        return self.gru(self._embedded(inputs), None if state is None else state[None])[0]

    def heads(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (..., task, actions) and values (..., task) for states."""
        return self.policy(state), self.value(state).squeeze(-1)

    def _embedded(self, inputs: Tensor) -> Tensor:
        """Return the features (..., task, hidden) of inputs (..., task, input)."""
        return self.embedding(self.input_scale * inputs).relu()


class EquivariantActorCritic(nn.Module):
    """One small GRU per arm of a bandit, all with the same weights; made and used like the above.

    Each is told whether its arm was pulled, and with what reward. An arm's logit comes from its own
    state and the mean state of all, so renaming the arms renames the logits (Zaheer et al. 2017,
    "Deep Sets"). The state is (..., task, arm * hidden).
    """

    def __init__(
        self, num_arms: int, *, hidden_size: int = 24, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_count("num_arms", num_arms)
        check_count("hidden_size", hidden_size)
        self.num_arms, self.hidden_size = num_arms, hidden_size
        self.gru = nn.GRU(3, hidden_size)
        self.policy, self.value = (
            nn.Sequential(nn.Linear(size, hidden_size), nn.Tanh(), nn.Linear(hidden_size, 1))
            for size in (2 * hidden_size, hidden_size)
        )
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-(hidden_size**-0.5), hidden_size**-0.5, generator=generator)

    def initial_state(self, num_tasks: int) -> Tensor:
        """Return zeros (task, arm * hidden)."""
        check_count("num_tasks", num_tasks)
        return self.gru.weight_hh_l0.new_zeros(num_tasks, self.num_arms * self.hidden_size)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Return the state (task, arm * hidden) after one more input (task, input)."""
        arms = state.reshape(-1, self.hidden_size)
        arms = torch.gru_cell(self._of_each_arm(inputs), arms, *self.gru.all_weights[0])
        return arms.reshape(state.shape)

    def states(self, inputs: Tensor) -> Tensor:
        """Return the states (time, task, arm * hidden) along inputs (time, task, input)."""
        arms = self.gru(self._of_each_arm(inputs))[0]
        return arms.reshape(*inputs.shape[:2], -1)

    def heads(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (..., task, arms) and values (..., task) for states."""
        arms = state.unflatten(-1, (self.num_arms, self.hidden_size))
        mean = arms.mean(dim=-2, keepdim=True)
        logits = self.policy(torch.cat([arms, mean.expand_as(arms)], dim=-1)).squeeze(-1)
        return logits, self.value(mean).flatten(-2).squeeze(-1)

    def _of_each_arm(self, inputs: Tensor) -> Tensor:
        """Return (..., task * arm, 3) of inputs that end with arm one-hot, reward, beginning."""
        pulled, reward, begins = inputs[..., -self.num_arms - 2 :].split([self.num_arms, 1, 1], -1)
        pulled = pulled * (1 - begins)  # nothing was pulled before a trial
        told = torch.stack([pulled, pulled * (2 * reward - 1), begins.expand_as(pulled)], dim=-1)
        return told.flatten(-3, -2)
