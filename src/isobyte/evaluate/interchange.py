"""Checkpoints of other programs into run folders, and run folders into theirs."""

from pathlib import Path
from typing import Any, Literal

from safetensors.torch import save
from torch import Tensor

from isobyte.backbone.blt import interchange, official_config, transformers_config
from isobyte.backbone.blt.residual import doubled
from isobyte.backbone.llama import llama_config, to_llama
from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.data import DataConfig, ElsewhereCorpus
from isobyte.config.objective import ArConfig
from isobyte.config.patching import EntropyPatching
from isobyte.config.representation import BytesConfig
from isobyte.config.run import RunConfig
from isobyte.config.train import AdamW, TrainConfig
from isobyte.errors import UserError
from isobyte.evaluate.checkpoint_files import digest, read_file, read_object, read_tensors
from isobyte.evaluate.loaded import check_writes_text
from isobyte.files import write_atomic, write_json
from isobyte.representation import build
from isobyte.representation import save as save_representation
from isobyte.train.folder import RunFolder

Format = Literal["transformers", "official"]
Json = dict[str, Any]
Record = dict[str, Any]
SCORER = "entropy_model"
"""Where the released code's checkpoints have their entropy model."""
FOR_BLOCKS = ("decoder.embedding.weight", "decoder.mask")
"""What a decoder that is given the encoder's states has for blocks alone."""
MAX_WINDOW = 4096
"""Bytes that an imported model is scored by at once, where it takes more: the released models' context in patches."""


def import_checkpoint(folder: Path, out: Path, patcher: Path | None = None) -> Record:
    """Write the Byte Latent Transformer in `folder` as a run into `out`; what happened, as JSON.

    `patcher` is the folder of the entropy model of a checkpoint of the released code. Raises UserError for what is
    missing, damaged, pickled or not supported, with every tensor named that does not fit.
    """
    config = read_object(folder, "config.json", "params.json")
    args = config.get("args") or config.get("model")
    if config.get("model_type") is None and isinstance(args, dict):
        shape, positions, ours, files, notes = _from_official(folder, config, args, patcher)
    else:
        if patcher is not None:
            raise UserError("has its patcher inside", where=str(folder), how="leave out --patcher")
        shape, positions = transformers_config.read_config(config, str(folder))
        theirs, files = read_tensors(folder)
        ours, notes = interchange.read_weights(theirs, interchange.weights_of(shape), str(folder)), []
    if isinstance(shape.patching, EntropyPatching):
        ours |= interchange.thresholds(shape.patching)
    elsewhere = ElsewhereCorpus(source=folder.resolve().name, digest=digest(files))
    run = RunConfig(
        representation=BytesConfig(),
        objective=ArConfig(),
        backbone=shape,
        data=DataConfig(corpus=elsewhere),
        # of these the window alone means anything: nothing is trained
        train=TrainConfig(window=min(positions, MAX_WINDOW), batch=1, steps=1, optimizer=AdamW(lr=1e-4)),
    )
    made = RunFolder.create(out, run)
    save_representation(build(run.representation), out / "representation")
    write_atomic(made.weights, save(ours, {"config": run.content_hash()}))
    made.write_status("imported", source=elsewhere.source)
    return _record(out, ours, notes) | {"window": run.train.window, "config": run.content_hash()}


def _from_official(
    folder: Path, config: Json, args: Json, patcher: Path | None
) -> tuple[BltConfig, int, dict[str, Tensor], list[Path], list[str]]:
    inside = folder / SCORER
    patcher = patcher or (inside if inside.is_dir() else None)
    beside = {} if patcher is None else read_object(patcher, "params.json", "config.json")
    scorer = beside.get("entropy_model") or beside.get("model") or beside.get("args")
    rule = (beside.get("data") or config.get("data") or {}).get("patcher_args") or {}
    shape, positions = official_config.read_config(args, scorer, rule, str(folder))
    theirs, files = read_tensors(folder)
    if patcher is not None and isinstance(shape.patching, EntropyPatching):
        more, more_files = read_tensors(patcher)
        theirs |= {f"patcher.{name}": tensor for name, tensor in more.items()}
        files += more_files
    turns = sorted(name for name in theirs if name.endswith("rope.freqs_cis"))
    notes = [f"{name} is left out: it follows from the config" for name in turns]
    theirs = {name: tensor for name, tensor in theirs.items() if name not in turns}
    weights = interchange.official(interchange.weights_of(shape), shape.hash_vocab)
    return shape, positions, interchange.read_weights(theirs, weights, str(folder)), files, notes


def export_run(path: Path, out: Path, format: Format = "transformers") -> Record:
    """Write the run in `path` as a checkpoint of another program into the empty folder `out`; what happened, as JSON.

    Raises UserError where that program has no word for something that the run has, by name.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is not empty", where=str(out), how="choose another --out")
    folder = RunFolder(path)
    config = folder.config()
    if not folder.weights.exists():
        raise UserError("has no weights yet", where=str(path), how="finish the run with `isobyte train` first")
    check_writes_text(config, path)
    ours = read_file(folder.weights)
    if isinstance(config.backbone, FlatConfig):
        return _export_flat(config, config.backbone, ours, out, format)
    return _export_blt(config, config.backbone, ours, out, format)


def _export_blt(config: RunConfig, shape: BltConfig, ours: dict[str, Tensor], out: Path, format: Format) -> Record:
    positions, single = config.train.window + 1, shape.cross_residual == "single"
    ours, shape = doubled(ours, shape)
    threshold = float(ours["patcher.threshold"]) if isinstance(shape.patching, EntropyPatching) else None
    beside = None
    if format == "transformers":
        theirs_config, notes = transformers_config.write_config(shape, threshold, positions)
        weights = interchange.weights_of(shape)
    else:
        args, beside, notes = official_config.write_config(shape, threshold, positions)
        theirs_config = {"args": args}
        weights = interchange.official(interchange.weights_of(shape), shape.hash_vocab)
    if single:
        notes.append("cross-attention adds its input twice there: weights are scaled to match, by powers of two")
    if not isinstance(config.data.corpus, ElsewhereCorpus):
        ours[interchange.HEAD] = interchange.silenced(ours[interchange.HEAD])
        notes.append("the four ids that are no byte were never trained: they predict what byte 0xFF predicts")
    if left := sorted(each for each in ours if each in FOR_BLOCKS):
        notes.append(
            f"{' and '.join(left)} are left out: they are for blocks (objective {config.objective.kind}), which that "
            "program does not know; byte by byte the model is the same"
        )
    theirs = interchange.write_weights(ours, weights)
    if format == "official":
        prefix = "patcher."
        mine = {name.removeprefix(prefix): theirs.pop(name) for name in list(theirs) if name.startswith(prefix)}
        if beside is not None:
            _write(out / SCORER, mine, "consolidated.safetensors", beside, "params.json")
    _write(out, theirs, "model.safetensors", theirs_config, "config.json")
    return _record(out, theirs, notes)


def _export_flat(config: RunConfig, shape: FlatConfig, ours: dict[str, Tensor], out: Path, format: Format) -> Record:
    found = [f"objective {config.objective.kind}"] if config.objective.kind != "ar" else []
    found += ["attention_window"] if shape.attention_window is not None else []
    found += [f"backbone flat in format {format}"] if format != "transformers" else []
    if found:
        raise UserError(f"not supported: {'; '.join(found)}", where="export", how="only what is equal is converted")
    vocab = len(ours["embedding.weight"]) - 1
    theirs = {name: each.contiguous() for name, each in to_llama(ours, shape, input_row=True).items()}
    positions = {"max_position_embeddings": config.train.window + 1, "bos_token_id": vocab, "eos_token_id": None}
    kind = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "float32"}
    _write(out, theirs, "model.safetensors", kind | llama_config(shape, vocab + 1) | positions, "config.json")
    return _record(out, theirs, [f"id {vocab} begins a text; as an output it means nothing: forbid it when sampling"])


def _write(out: Path, theirs: dict[str, Tensor], weights: str, config: Json, name: str) -> None:
    write_atomic(out / weights, save(theirs, {"format": "pt"}))
    write_json(out / name, config)


def _record(out: Path, tensors: dict[str, Tensor], notes: list[str]) -> Record:
    numbers = sum(tensor.numel() for tensor in tensors.values())
    return {"out": str(out), "tensors": len(tensors), "numbers": numbers, "notes": notes}
