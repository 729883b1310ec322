"""The convolutional network, its batch norm, and what is trained and measured on episodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional

from metarl_lite.algorithms import few_shot, maml
from metarl_lite.algorithms.maml import MAMLConfig
from metarl_lite.convnets import batch_norm, conv_features, conv_logits, conv_params
from metarl_lite.data.characters import Characters, jitter, nearest, sample_episodes


def one_copy(way=3, filters=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    params = {
        n: p[0].to(dtype) for n, p in conv_params(way, filters=filters, generator=generator).items()
    }
    params["head.weight"] = 0.1 * torch.randn(params["head.weight"].shape, generator=generator).to(
        dtype
    )
    return params


def some_images(*shape, seed=1, dtype=torch.float32):
    return torch.rand(*shape, 28, 28, generator=torch.Generator().manual_seed(seed)).to(dtype)


def test_batch_norm_agrees_with_torch_in_value_and_gradient():
    x = some_images(5, 3, dtype=torch.float64).requires_grad_()
    scale, shift = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([0.0, -1.0, 3.0]).double()
    ours = batch_norm(x, scale, shift)
    theirs = functional.batch_norm(x, None, None, scale, shift, training=True)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn_like(x)
    torch.testing.assert_close(
        *(torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs))
    )


def test_the_network_agrees_with_the_same_layers_of_torch():
    params, images = one_copy(), some_images(6)
    x = images[:, None]
    for layer in range(4):
        weight, scale, shift = (params[f"conv{layer}.{n}"] for n in ("weight", "scale", "shift"))
        x = functional.conv2d(x, weight, stride=2, padding=1)
        x = functional.relu(functional.batch_norm(x, None, None, scale, shift, training=True))
    features = conv_features(params, images.reshape(2, 3, 28, 28))
    assert features.shape == (2, 3, 16)
    torch.testing.assert_close(features.flatten(0, 1), x.flatten(1))
    logits = conv_logits(params, images)
    torch.testing.assert_close(logits, x.flatten(1) @ params["head.weight"] + params["head.bias"])


def test_a_new_network_prefers_no_class_and_its_copies_differ():
    params = conv_params(5, filters=4, num_copies=2, generator=torch.Generator().manual_seed(0))
    assert {len(p) for p in params.values()} == {2}
    first, second = ({n: p[i] for n, p in params.items()} for i in (0, 1))
    assert not torch.equal(first["conv0.weight"], second["conv0.weight"])
    loss = few_shot.loss(first, some_images(5, 2))
    assert loss.item() == pytest.approx(np.log(5), rel=1e-5)


def meta_gradient(params, support, query, config):
    def loss_of(params):
        return maml.meta_loss(few_shot.loss, params, support, query, config)

    return grad(loss_of)(params)


def test_the_second_order_meta_gradient_agrees_with_a_loop_over_tasks_in_float64():
    params = one_copy(dtype=torch.float64)
    support, query = (
        some_images(3, 3, 1, dtype=torch.float64),
        some_images(3, 3, 2, seed=2).double(),
    )
    config = MAMLConfig(inner_lr=0.4, inner_steps=2)
    found = meta_gradient(params, support, query, config)
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    total = 0.0
    for one_support, one_query in zip(support, query, strict=True):
        adapted = leaves
        for _ in range(2):
            value = few_shot.loss(adapted, one_support)
            grads = torch.autograd.grad(value, list(adapted.values()), create_graph=True)
            adapted = {n: p - 0.4 * g for (n, p), g in zip(adapted.items(), grads, strict=True)}
        total = total + few_shot.loss(adapted, one_query) / 3
    looped = torch.autograd.grad(total, list(leaves.values()))
    for (name, ours), theirs in zip(found.items(), looped, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11, msg=name)


def test_adapting_the_head_is_maml_with_the_body_held_still():
    params, support = one_copy(), some_images(3, 2)
    adapted = few_shot.adapt_head(params, support, inner_lr=0.3, inner_steps=2)
    body = {n: p for n, p in params.items() if not n.startswith("head")}
    assert all(torch.equal(adapted[name], p) for name, p in body.items())

    def head_loss(head, images):
        return few_shot.loss(body | head, images)

    head = {n: p for n, p in params.items() if n.startswith("head")}
    expected = maml.adapt(head_loss, head, support, MAMLConfig(inner_lr=0.3, inner_steps=2))
    for name, p in expected.items():
        torch.testing.assert_close(adapted[name], p)


def test_the_gradient_through_adapting_the_head_is_of_second_order():
    params = {n: p.double() for n, p in one_copy().items()}
    support, query = some_images(3, 2).double(), some_images(3, 2, seed=2).double()

    def after(params):
        return few_shot.loss(
            few_shot.adapt_head(params, support, inner_lr=0.5, inner_steps=2), query
        )

    found = grad(after)(params)["head.bias"]
    nudge = 1e-6 * torch.eye(3, dtype=torch.float64)
    bias = params["head.bias"]
    numeric = [
        (after(params | {"head.bias": bias + n}) - after(params | {"head.bias": bias - n})) / 2e-6
        for n in nudge
    ]
    torch.testing.assert_close(found, torch.stack(numeric), rtol=1e-5, atol=1e-8)


def test_accuracies_count_right_answers_task_by_task(monkeypatch):
    def logits(params, images):  # the answer is written in the first pixel
        return functional.one_hot(images[..., 0, 0].long(), 3).float()

    monkeypatch.setattr(few_shot, "conv_logits", logits)
    answers = torch.tensor([[[0, 0], [1, 0], [1, 0]], [[2, 2], [2, 2], [2, 2]]])
    query = answers[..., None, None].expand(-1, -1, -1, 28, 28)
    found = few_shot.accuracies(lambda support: {}, query, query)
    np.testing.assert_allclose(found, [3 / 6, 2 / 6])


def corners(num_drawings=6):
    """Return eight characters that are easy to tell apart: a block in one of eight places."""
    images = torch.zeros(8, num_drawings, 28, 28)
    for i in range(8):
        row, column = 3 + 14 * (i // 4), 1 + 7 * (i % 4)
        images[i, :, row : row + 8, column : column + 5] = 1
    return Characters(images, np.array(["A"] * 8))


def test_an_embedding_learns_to_tell_jittered_drawings_apart():
    config = few_shot.EmbeddingConfig(filters=8, batch_size=32, lr=1e-2, iterations=60)
    trained = few_shot.train_embedding(corners(), config, seed=0)
    episode = sample_episodes(np.random.default_rng(0), corners(), 20, way=5, queries=2)
    rng = np.random.default_rng(1)
    episode = [jitter(rng, images, scale=0.3, shift=3.0) for images in episode]

    def accuracy(params):
        support, query = few_shot.embed(params, *episode)
        assert (support.shape, query.shape) == ((20, 5, 1, 32), (20, 5, 2, 32))
        torch.testing.assert_close(support.norm(dim=-1), torch.ones(20, 5, 1))
        return (nearest(support, query) == torch.arange(5)[:, None]).float().mean()

    assert accuracy(trained) > 0.75  # 0.69 where the names are shuffled, 0.55 untrained
    again = few_shot.train_embedding(corners(), replace(config, iterations=1), seed=0)
    once = few_shot.train_embedding(corners(), replace(config, iterations=1), seed=0)
    assert all(torch.equal(p, again[name]) for name, p in once.items())


def test_maml_learns_to_tell_blocks_apart():
    def episodes(rng, num_tasks):
        return sample_episodes(rng, corners(), num_tasks, way=2, queries=2)

    config = MAMLConfig(inner_lr=0.4, outer_lr=5e-3, tasks_per_batch=4, iterations=25)
    params = conv_params(2, filters=4, generator=torch.Generator().manual_seed(0))
    losses = maml.train(few_shot.loss, params, episodes, config, seed=0).losses
    assert losses[-5:].mean() < 0.7 * losses[:5].mean()


def test_vmap_over_torchs_batch_norm_still_has_the_trap_that_the_book_warns_of():
    """Fails once torch is repaired: then the warnings in chapter 9 can go."""

    def torchs(x, scale, shift):
        return functional.batch_norm(x, None, None, scale, shift, training=True)

    images = some_images(2, 6, 1, dtype=torch.float64)
    params = {
        "weight": torch.randn(3, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double(),
        "scale": torch.tensor([0.5, 1.0, 1.5]).double(),
        "shift": torch.tensor([0.1, 0.0, -0.1]).double(),
    }

    def loss(params, x, norm):
        x = functional.conv2d(x, params["weight"], padding=1)
        x = norm(x, params["scale"], params["shift"]).relu()
        return functional.cross_entropy(x.square().mean(dim=(2, 3)), torch.tensor([0, 1, 2] * 2))

    def meta(params, x, norm):
        grads = grad(loss)(params, x, norm)
        return loss({n: p - 0.5 * grads[n] for n, p in params.items()}, x.flip(3), norm)

    def gradient(norm, over_tasks):
        grads = grad(lambda p: over_tasks(lambda x: meta(p, x, norm)).mean())(params)
        return torch.cat([g.flatten() for g in grads.values()])

    def by_vmap(task):
        return vmap(task)(images)

    def by_loop(task):
        return torch.stack([task(x) for x in images])

    right = gradient(batch_norm, by_loop)
    torch.testing.assert_close(gradient(batch_norm, by_vmap), right)
    torch.testing.assert_close(gradient(torchs, by_loop), right)
    assert (gradient(torchs, by_vmap) - right).norm() > 1e-3 * right.norm()
