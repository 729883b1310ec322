import copy

import numpy as np
import pytest
import torch

from metarl_lite.algorithms.dagger import DaggerConfig, imitation_loss, learn, sequences, train
from metarl_lite.algorithms.rl2 import make_net
from metarl_lite.envs.family import TaskFamily
from metarl_lite.envs.flappy import STANDARD, FlappyTasks, VectorFlappyBird, sample_tasks
from metarl_lite.trials import play

FAMILY = TaskFamily(sample_tasks, VectorFlappyBird)
SMALL = DaggerConfig(iterations=2, num_tasks=4, num_steps=12, unroll=4, batch_size=5)


def make_student(*, hidden_size=8):
    return make_net(VectorFlappyBird(STANDARD), hidden_size=hidden_size, seed=0)


def below_the_gap(inputs, tasks):
    """Flap where the true height says that the bird is under the gap's middle."""
    true = inputs[..., 5] - torch.tensor(tasks.sensor).float() / 100
    return torch.stack([torch.zeros_like(true), 40 * true], dim=-1)


def test_pieces_of_trials_keep_their_order_in_time():
    time, task = torch.meshgrid(torch.arange(6), torch.arange(2), indexing="ij")
    pieces = sequences(torch.stack([time, task], dim=-1), unroll=3)
    assert pieces.shape == (3, 4, 2)
    assert pieces[:, :, 0].T.tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert pieces[:, :, 1].T.tolist() == [[0] * 3, [1] * 3, [0] * 3, [1] * 3]


def test_the_loss_is_torchs_cross_entropy_and_least_at_the_teachers_own_logits():
    logits, probs = torch.randn(7, 3), torch.rand(7, 3).softmax(dim=-1)
    ours = imitation_loss(logits, probs)
    peer = torch.nn.functional.cross_entropy(logits, probs, reduction="none")
    torch.testing.assert_close(ours, peer)
    at_teacher = imitation_loss(probs.log(), probs)
    torch.testing.assert_close(at_teacher, -(probs * probs.log()).sum(dim=-1))
    assert (ours >= at_teacher).all()


def test_one_iteration_takes_the_gradient_steps_of_a_slow_reference():
    """Two epochs of one batch; pieces begin with the states that the whole trial had come to."""
    config = DaggerConfig(
        iterations=1, num_tasks=3, num_steps=12, unroll=4, batch_size=9, num_epochs=2, lr=1e-2
    )
    student = make_student()
    result = train(student, below_the_gap, FAMILY, config, seed=5)
    slow, tasks = copy.deepcopy(student), sample_tasks(np.random.default_rng(5), 3)
    generator = torch.Generator().manual_seed(5)
    inputs = play(slow, VectorFlappyBird(tasks), num_steps=12, generator=generator).inputs
    probs = below_the_gap(inputs, tasks).softmax(dim=-1)
    optimizer, losses = torch.optim.Adam(slow.parameters(), lr=1e-2, eps=1e-5), []
    for _ in range(2):
        loss = 0.0
        for task in range(3):
            played = state = student.initial_state(1)
            for t in range(12):
                if t % 4 == 0:
                    state = played.detach()
                x = inputs[t, task][None]
                played, state = student.step(x, played), slow.step(x, state)
                loss -= (probs[t, task] * slow.heads(state)[0].log_softmax(dim=-1)).sum() / 36
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(slow.parameters(), config.max_grad_norm)
        optimizer.step()
        losses.append(loss.item())
    assert result.losses == pytest.approx([np.mean(losses)], rel=1e-4)
    for ours, theirs in zip(result.net.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def two_altimeters(rng, num_tasks):
    return FlappyTasks(sensor=rng.choice([-100.0, 100.0], size=num_tasks))


def flap_for_ever_where_it_reads_too_high(inputs, tasks):
    sign = torch.tensor(tasks.sensor).float().sign().expand(inputs.shape[:2])
    return torch.stack([torch.zeros_like(sign), 4 * sign], dim=-1)


def test_the_student_remembers_over_pieces_what_only_the_teacher_is_told():
    config = DaggerConfig(
        iterations=8, num_tasks=32, num_steps=16, unroll=4, batch_size=16, lr=1e-2
    )
    family = TaskFamily(two_altimeters, VectorFlappyBird)
    student = make_student(hidden_size=32)
    losses = train(student, flap_for_ever_where_it_reads_too_high, family, config, seed=0).losses
    assert losses.shape == (8,)
    assert losses[0] > 0.3
    assert losses[-1] < 0.15  # the teacher's own entropy is .09


def test_training_leaves_the_network_handed_in_and_its_seed_decides_its_result():
    student = make_student()
    before = copy.deepcopy(student.state_dict())
    one, same, other = (
        train(student, below_the_gap, FAMILY, SMALL, seed=seed).net.state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(student.state_dict()[name], x) for name, x in before.items())
    weight = "gru.weight_hh_l0"
    assert torch.equal(one[weight], same[weight])
    assert not torch.equal(one[weight], other[weight])


def test_every_iteration_yields_the_network_as_it_is():
    results = list(learn(make_student(), below_the_gap, FAMILY, SMALL, seed=0))
    assert [result.losses.shape for result in results] == [(1,), (1,)]


def test_a_trial_must_split_into_pieces():
    with pytest.raises(ValueError, match="multiple of unroll"):
        DaggerConfig(num_steps=100, unroll=64)
