"""How fast this machine trains a given run."""

import time

from isobyte.config.run import RunConfig
from isobyte.cost.design import run_cost
from isobyte.data.prepared import Prepared
from isobyte.data.window import TrainWindows
from isobyte.train.loop import build_model
from isobyte.train.optim import build_optimizer
from isobyte.train.parallel import Ranks
from isobyte.train.runtime import Runtime
from isobyte.train.step import train_step


def training_throughput(
    config: RunConfig, prepared: Prepared, runtime: Runtime, *, seconds: float, warmup: int = 3
) -> dict[str, float]:
    """`flops_per_second` (exact count) and `steps` of plain training steps over `seconds` of wall time."""
    device = runtime.apply()
    model = build_model(config, prepared.representation.vocab_size, runtime.attention).to(device)
    optimizer = build_optimizer(model, config.train.optimizer)
    windows = TrainWindows(prepared.stream("train"), config.train.window, config.train.seed)
    cost = run_cost(config, vocab=model.vocab)
    batch = config.train.batch
    started, step, timed = time.perf_counter(), 0, 0
    while timed == 0 or time.perf_counter() - started < seconds:
        if step == warmup:
            started = time.perf_counter()
        rows = windows.batch(step * batch, batch)
        train_step(config, model, model, optimizer, rows, step % config.train.steps, Ranks())
        step += 1
        timed = max(0, step - warmup)
    elapsed = time.perf_counter() - started
    return {"flops_per_second": cost.per_step * timed / elapsed, "steps": timed}
