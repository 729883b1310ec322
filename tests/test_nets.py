import pytest
import torch
from torch import nn

from metarl_lite.nets import (
    EquivariantActorCritic,
    RecurrentActorCritic,
    StackedLinear,
    entropy,
    log_prob,
    mlp,
    mlp_params,
    sample_categorical,
    stacked_mlp,
)

SIZES = (3, 8, 5, 2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def separate_mlps(stacked):
    """One ordinary torch network for each copy, with that copy's weights."""
    copies = []
    for i in range(len(stacked[0].weight)):
        layers = []
        for layer in stacked:
            if isinstance(layer, StackedLinear):
                linear = nn.Linear(*layer.weight.shape[1:], dtype=layer.weight.dtype)
                linear.weight.data = layer.weight[i].detach().T.clone()
                linear.bias.data = layer.bias[i, 0].detach().clone()
                layers.append(linear)
            else:
                layers.append(nn.ReLU())
        copies.append(nn.Sequential(*layers))
    return copies


def test_one_layer_by_hand():
    layer = StackedLinear(2, 2, 1)
    layer.weight.data = torch.tensor([[[1.0], [2.0]], [[-1.0], [0.5]]])
    layer.bias.data = torch.tensor([[[10.0]], [[0.0]]])
    x = torch.tensor([[[1.0, 1.0], [0.0, 3.0]], [[2.0, 4.0], [1.0, 0.0]]])
    assert layer(x).tolist() == [[[13.0], [16.0]], [[0.0], [-1.0]]]


def test_a_stack_equals_separate_torch_networks_forward_and_backward():
    stacked = stacked_mlp(SIZES, num_copies=4, generator=generator()).double()
    x = torch.randn(4, 7, 3, generator=generator(1), dtype=torch.float64)
    output = stacked(x)
    output.square().sum().backward()
    for i, separate in enumerate(separate_mlps(stacked)):
        expected = separate(x[i])
        torch.testing.assert_close(output[i], expected)
        expected.square().sum().backward()
        for layer, linear in zip(stacked[::2], separate[::2], strict=True):
            torch.testing.assert_close(layer.weight.grad[i], linear.weight.grad.T)
            torch.testing.assert_close(layer.bias.grad[i, 0], linear.bias.grad)


def test_copies_do_not_mix():
    net = stacked_mlp(SIZES, num_copies=3, generator=generator())
    net(torch.ones(3, 2, 3))[0].sum().backward()
    for parameter in net.parameters():
        assert parameter.grad[0].any()
        assert not parameter.grad[1:].any()


def test_hidden_layers_are_rectified_and_the_last_is_not():
    net = stacked_mlp((1, 1, 1))
    for layer in net[::2]:
        layer.weight.data.fill_(-1.0)
        layer.bias.data.zero_()
    assert net(torch.tensor([[[-2.0], [2.0]]])).tolist() == [[[-2.0], [0.0]]]


def test_weights_start_uniform_as_those_of_torchs_linear_layer():
    layer = StackedLinear(50, 16, 32, generator=generator())
    reference = nn.Linear(16, 32)
    bound = 16**-0.5
    assert reference.weight.abs().max() <= bound
    for values in (layer.weight.flatten(), layer.bias.flatten()):
        assert values.abs().max() <= bound
        count, share = len(values), values / bound  # uniform on [-1, 1]: four standard errors
        assert abs(share.mean()) < 4 / (3 * count) ** 0.5
        assert abs(share.square().mean() - 1 / 3) < 4 * (4 / 45 / count) ** 0.5
    assert (layer.weight[0] != layer.weight[1]).all()


def test_a_generator_makes_the_weights_reproducible():
    state = torch.random.get_rng_state()
    first, again, other = (
        torch.cat([p.flatten() for p in stacked_mlp(SIZES, generator=generator(s)).parameters()])
        for s in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).all()
    assert (torch.random.get_rng_state() == state).all()  # the global generator is untouched


def test_layers_have_the_sizes_that_were_asked_for():
    net = stacked_mlp(SIZES, num_copies=6)
    assert [tuple(layer.weight.shape) for layer in net[::2]] == [(6, 3, 8), (6, 8, 5), (6, 5, 2)]
    assert net(torch.zeros(6, 4, 3)).shape == (6, 4, 2)
    with pytest.raises(ValueError, match="at least input and output"):
        stacked_mlp((4,))


def test_log_probabilities_and_entropies_equal_torchs_distribution():
    logits = 3 * torch.randn(4, 7, 5, generator=generator(), dtype=torch.float64)
    action = torch.randint(5, (4, 7), generator=generator(1))
    peer = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(log_prob(logits, action), peer.log_prob(action))
    torch.testing.assert_close(entropy(logits), peer.entropy())


def test_sampled_actions_come_as_often_as_the_softmax_says():
    logits, n = torch.tensor([[0.0, 1.0, -2.0], [3.0, 3.0, 3.0]], requires_grad=True), 40_000
    actions = sample_categorical(logits.expand(n, 2, 3), generator=generator())
    assert actions.dtype == torch.int64
    shares = torch.stack([(actions == a).double().mean(dim=0) for a in range(3)], dim=-1)
    p = logits.softmax(dim=-1).detach().double()
    assert ((shares - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()  # four standard errors
    again = sample_categorical(logits.expand(n, 2, 3), generator=generator())
    assert torch.equal(actions, again)


def test_a_recurrent_step_is_torchs_gru_cell_on_rectified_features():
    net = RecurrentActorCritic(3, 2, hidden_size=4, generator=generator())
    cell = nn.GRUCell(4, 4)
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in net.gru.state_dict().items()})
    inputs, state = torch.randn(5, 3, generator=generator(1)), net.initial_state(5) + 0.5
    features = (inputs @ net.embedding.weight.T + net.embedding.bias).clamp(min=0)
    torch.testing.assert_close(net.step(inputs, state), cell(features, state))
    sequence = net.states(torch.stack([inputs, inputs]))
    torch.testing.assert_close(sequence[0], net.step(inputs, net.initial_state(5)))
    torch.testing.assert_close(sequence[1], net.step(inputs, sequence[0]))
    torch.testing.assert_close(net.states(inputs[None], sequence[0])[0], sequence[1])


def test_an_input_scale_of_three_is_three_times_the_inputs():
    nets = [
        RecurrentActorCritic(3, 2, hidden_size=4, input_scale=scale, generator=generator())
        for scale in (1.0, 3.0)
    ]
    inputs = torch.randn(6, 5, 3, generator=generator(1))
    torch.testing.assert_close(nets[1].states(inputs), nets[0].states(3 * inputs))


def bandit_inputs(num_arms, *, time=4, tasks=3):
    """Random inputs as `trials.encode` makes them for a bandit, the first of them a beginning."""
    generator = torch.Generator().manual_seed(5)
    arm = torch.randint(num_arms, (time, tasks), generator=generator)
    reward = torch.randint(2, (time, tasks, 1), generator=generator).float()
    begins = torch.zeros(time, tasks, 1)
    begins[0] = 1
    one_hot = nn.functional.one_hot(arm, num_arms).float()
    return torch.cat([torch.ones(time, tasks, 1), one_hot, reward, begins], dim=-1)


def test_renaming_the_arms_renames_the_logits_and_leaves_the_value():
    net = EquivariantActorCritic(4, generator=torch.Generator().manual_seed(0))
    inputs, renamed = bandit_inputs(4), torch.tensor([2, 0, 3, 1])
    permuted = inputs.clone()
    permuted[..., 1:5] = inputs[..., 1:5][..., renamed]
    logits, value = net.heads(net.states(inputs))
    logits_of_permuted, value_of_permuted = net.heads(net.states(permuted))
    torch.testing.assert_close(logits_of_permuted, logits[..., renamed])
    torch.testing.assert_close(value_of_permuted, value)
    assert (logits.std(dim=-1)[1:] > 1e-4).all()  # arms with another past do differ


def test_equivariant_states_are_the_steps_one_by_one():
    net, inputs = EquivariantActorCritic(3), bandit_inputs(3)
    states, state = net.states(inputs), net.initial_state(3)
    for t in range(len(inputs)):
        state = net.step(inputs[t], state)
        torch.testing.assert_close(states[t], state)
    logits, value = net.heads(states)
    assert logits.shape == (4, 3, 3)
    assert value.shape == (4, 3)


def test_an_arm_s_state_depends_on_its_own_rewards_only():
    net, inputs = EquivariantActorCritic(3), bandit_inputs(3)
    other = inputs.clone()
    pulled = inputs[2, 0, 1:4].argmax().item()
    other[2, 0, -2] = 1 - inputs[2, 0, -2]
    before, after = (net.states(x)[2, 0].unflatten(0, (3, -1)) for x in (inputs, other))
    changed = (before != after).any(dim=-1)
    assert changed.tolist() == [arm == pulled for arm in range(3)]


def test_what_stands_at_a_beginning_as_arm_and_reward_is_not_looked_at():
    net, inputs = EquivariantActorCritic(3), bandit_inputs(3)
    other = inputs.clone()
    other[0, :, 1:5] = 1 - inputs[0, :, 1:5]
    torch.testing.assert_close(net.states(inputs), net.states(other))


def test_a_function_of_parameters_is_the_stacked_network_copy_by_copy():
    params = mlp_params(SIZES, num_copies=3, generator=generator())
    stacked = stacked_mlp(SIZES, num_copies=3, generator=generator())
    x = torch.randn(3, 6, 3, generator=generator(1))
    torch.testing.assert_close(torch.func.vmap(mlp)(params, x), stacked(x))
    assert not any(p.requires_grad for p in params.values())


def test_the_activation_stands_between_layers_and_not_after_the_last():
    params = {"w": torch.tensor([[2.0]]), "b": torch.tensor([[0.0]])}
    params |= {"v": torch.tensor([[3.0]]), "c": torch.tensor([[-9.0]])}
    assert mlp(params, torch.tensor([[1.0], [-1.0]])).tolist() == [[-3.0], [-9.0]]
    assert mlp(params, torch.tensor([[1.0]]), activation=torch.square).tolist() == [[3.0]]


def test_small_weights_are_cut_off_at_two_standard_deviations_and_biases_zero():
    params = mlp_params((1, 400, 400, 1), num_copies=1, std=0.01, generator=generator())
    weight = params["2.weight"]
    assert 0.0195 < weight.abs().max() <= 0.02
    assert weight.std().item() == pytest.approx(0.00880, rel=0.02)  # that of the cut normal
    assert not any(params[name].any() for name in params if name.endswith("bias"))
    again = mlp_params((1, 400, 400, 1), num_copies=1, std=0.01, generator=generator())
    assert (again["2.weight"] == weight).all()  # the generator decides, nothing else
