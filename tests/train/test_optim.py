"""The flat optimiser is AdamW, parameter by parameter, and the model never notices."""

import copy

import torch
from torch import nn

from isobyte.backbone.flat import FlatModel, initialise
from isobyte.config.backbone import FlatConfig
from isobyte.config.train import AdamW
from isobyte.objective.ar import ar_question
from isobyte.objective.base import cost_sum
from isobyte.train.optim import build_optimizer, flat_parameters

CONFIG = AdamW(lr=0.01, weight_decay=0.3)


def model() -> FlatModel:
    net = FlatModel(FlatConfig(layers=2, width=16, heads=2, tied=True), 11)
    initialise(net, 0)
    return net


def backward(net: FlatModel, step: int) -> None:
    x = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(step))
    cost_sum(net, ar_question(x, net)).backward()


def test_updates_are_those_of_adamw_on_each_parameter() -> None:
    flat, plain = model(), model()
    matrices, gains = ([p for p in plain.parameters() if (p.ndim > 1) == many] for many in (True, False))
    groups = [{"params": matrices, "weight_decay": CONFIG.weight_decay}, {"params": gains, "weight_decay": 0.0}]
    optimizers = (
        build_optimizer(flat, CONFIG),
        torch.optim.AdamW(groups, lr=CONFIG.lr, betas=CONFIG.betas, eps=CONFIG.eps),
    )
    for step in range(5):
        for net, optimizer in zip((flat, plain), optimizers, strict=True):
            backward(net, step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=net is plain)
    for ours, theirs in zip(flat.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_values_and_gradients_are_views_of_two_buffers() -> None:
    net = model()
    before = copy.deepcopy(net.state_dict())
    flat = dict(flat_parameters(build_optimizer(net, CONFIG)))
    assert list(flat) == ["matrices", "vectors"]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    backward(net, 0)
    for kind, parameter in flat.items():
        own = [p for p in net.parameters() if (p.ndim > 1) == (kind == "matrices")]
        assert parameter.grad is not None
        assert torch.equal(parameter, torch.cat([p.flatten() for p in own]))
        assert torch.equal(parameter.grad, torch.cat([_gradient(p).flatten() for p in own]))
        assert parameter.grad.abs().sum() > 0
        nn.init.constant_(parameter, 0.5)
    assert all((p == 0.5).all() for p in net.parameters())


def _gradient(parameter: nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad
