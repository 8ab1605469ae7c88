"""Two training loops of one shape: the project's own, and an eager one over transformers' Llama."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from isobyte.backbone.llama import llama_config
from isobyte.config.backbone import FlatConfig
from isobyte.config.run import RunConfig
from isobyte.train.loop import build_model, compile_blocks
from isobyte.train.optim import build_optimizer
from isobyte.train.parallel import Ranks
from isobyte.train.runtime import Runtime
from isobyte.train.step import train_step

Step = Callable[[], float]
"""One training step; its loss in nats per symbol."""


def our_step(config: RunConfig, batches: list[np.ndarray], device: torch.device, runtime: Runtime) -> Step:
    """The step of `isobyte train`."""
    model = build_model(config, 256, runtime.attention).to(device)
    optimizer = build_optimizer(model, config.train.optimizer)
    compile_blocks(model, runtime)
    done = 0

    def step() -> float:
        nonlocal done
        batch, autocast = batches[done % len(batches)], device.type == "cuda"
        outcome = train_step(config, model, model, optimizer, batch, done, Ranks(), autocast)
        done += 1
        return float(outcome.loss)

    return step


def their_step(config: RunConfig, batches: list[np.ndarray], device: torch.device) -> Step:
    """An eager step of transformers' Llama with the same shape and optimiser."""
    from transformers import LlamaConfig, LlamaForCausalLM

    train, shape = config.train, config.backbone
    assert isinstance(shape, FlatConfig)
    settings = LlamaConfig(**llama_config(shape, 256), max_position_embeddings=train.window, use_cache=False)
    with device:
        model = LlamaForCausalLM(settings)
    adamw = train.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=adamw.lr, betas=adamw.betas, eps=adamw.eps, weight_decay=adamw.weight_decay, fused=True,
    )  # fmt: skip
    done = 0

    def step() -> float:
        nonlocal done
        ids = torch.from_numpy(batches[done % len(batches)]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), train.clip or float("inf"))
        optimizer.step()
        optimizer.zero_grad()
        done += 1
        return float(loss.detach())

    return step
