"""`isobyte eval`"""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from isobyte.cli.output import console, emit, tables
from isobyte.errors import UserError


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    column: str = "text",
    passes: int | None = None,
    max_bytes: int | None = None,
    seed: int | None = None,
    estimator: str | None = None,
    steps: int | None = None,
    per_step: int | None = None,
    without: str | None = None,
    weights: Literal["fp32", "fp16"] = "fp32",
    masked_blocks: bool = False,
    slack: bool = False,
    probe: str | None = None,
    probe_vocab: int = 512,
    probe_tokenizer: str | None = None,
    device: str = "auto",
    json: bool = False,
) -> int:
    """Bits per byte of a trained run on a file of yours, or on its own held-out text.

    Any bytes will do, UTF-8 or not. The last window is scored at its true length, and nothing is padded.

    Args:
        run: a run's folder
        data: a file or folder; plain, .gz, .zst or .xz; .jsonl and .parquet by --column
        column: the text column of .jsonl and .parquet files
        passes: network passes per window where the likelihood is estimated; the run's own number if left out
        max_bytes: score no more than this, spread evenly over the text
        seed: seed of the estimator
        estimator: another way to a likelihood than the run's own: count-stratified, t-steps, duel:confidence, ...
        steps: reveal steps, for the estimators that have a number of them
        per_step: symbols revealed at once, for the exact likelihoods of deterministic rules
        without: of a run of backbone blt, silence a part to see what it is worth: latents or ngrams
        weights: fp16 rounds them first, as `isobyte sample --weights fp16` does
        masked_blocks: of a run of objective blt_diffusion, instead: how well it fills masked blocks
        slack: of a run whose likelihood is a bound, instead: how far tighter bounds, and exact decoders, lie below it
        probe: instead, direct measurements, comma-separated: words, fragility, segmentation, ...
        probe_vocab: symbols of the BPE whose token starts probes look for, learned from the run's training text
        probe_tokenizer: a tokenizer.json whose token starts they look for instead
        device: auto, cpu, cuda, ...
        json: one JSON object, last on standard output
    """
    if masked_blocks + slack + (probe is not None) > 1:
        raise UserError(
            "are questions of their own", where="--masked-blocks, --slack, --probe", how="ask one at a time"
        )
    if weights != "fp32" and (masked_blocks or slack or probe is not None):
        raise UserError("is for likelihoods", where="--weights", how="leave it out")
    if masked_blocks:
        if (passes, estimator, steps, per_step, without) != (None,) * 5:
            raise UserError("is no likelihood", where="--masked-blocks", how="leave out what estimates one")
        return _masked_blocks(run, data, column, max_bytes, seed, device, json)
    if slack:
        if (estimator, steps, per_step, without) != (None,) * 4:
            raise UserError("compares likelihoods of its own choice", where="--slack", how="name no estimator or part")
        return _slack(run, data, column, passes, max_bytes, seed, device, json)
    if probe is not None:
        if (passes, estimator, steps, per_step, without) != (None,) * 5:
            raise UserError("is no likelihood", where="--probe", how="leave out what estimates one")
        from isobyte.cli.eval_probes import evaluate_probes

        return evaluate_probes(
            run, probe.split(","), as_json=json, data=data, column=column, max_bytes=max_bytes, seed=seed,
            device=device, vocab=probe_vocab, tokenizer=probe_tokenizer,
        )  # fmt: skip
    from isobyte.evaluate.bpb import evaluate_run

    scored = evaluate_run(
        run, data=data, column=column, passes=passes, max_bytes=max_bytes, seed=seed, device=device,
        estimator=estimator, steps=steps, per_step=per_step, without=without, weights=weights,
    )  # fmt: skip
    sign = "<=" if scored.kind == "bound" else "="
    spread = f" +- {scored.stderr:.4f}" if scored.stderr else ""
    about = scored.kind if scored.is_likelihood else "bits per byte of training cost: no likelihood"
    about = about if scored.kind != "score" else "bits per byte without the boundaries: no likelihood"
    console.print(
        f"{scored.label} {sign} {scored.value_bits_per_byte:.4f}{spread} on {scored.bytes:,} bytes, "
        f"{scored.windows:,} windows; {about}"
    )
    emit(scored.to_json(), as_json=json)
    return 0


def _masked_blocks(
    run: Path, data: Path | None, column: str, max_bytes: int | None, seed: int | None, device: str, as_json: bool
) -> int:
    from isobyte.cli.masked_blocks_output import by_position, by_rate, summary
    from isobyte.evaluate.masked_blocks import run_masked_blocks

    found = run_masked_blocks(
        run, data=data, column=column, max_bytes=max_bytes, seed=seed, device=device
    ).to_json()  # fmt: skip
    for each in (by_rate(found), by_position(found)):
        tables(as_json).print(each)
    console.print(summary(found))
    emit(found, as_json=as_json)
    return 0


def _slack(
    run: Path, data: Path | None, column: str, passes: int | None, max_bytes: int | None, seed: int | None,
    device: str, as_json: bool,
) -> int:  # fmt: skip
    from isobyte.cli.slack_output import slack_line, slack_table
    from isobyte.evaluate.slack import run_slack

    found = run_slack(
        run, data=data, column=column, passes=passes, max_bytes=max_bytes, seed=seed, device=device, say=console.print
    ).to_json()
    tables(as_json).print(slack_table(found))
    console.print(slack_line(found))
    emit(found, as_json=as_json)
    return 0
