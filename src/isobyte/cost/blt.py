"""FLOPs and parameters of the Byte Latent Transformer (arXiv 2412.09871), part by part.

Its encoder and decoder work on every byte of a window, its latent transformer on every complete patch. How many those
are depends on the text: a plan takes the expected number, a run the one it has seen.
"""

import math

from isobyte.config.backbone import BltConfig, FlatConfig
from isobyte.config.objective import ArConfig, BltDiffusionConfig, Objective, PatchMaskedConfig, PatchwiseConfig
from isobyte.config.patching import EntropyPatching, FlatScorer, Patching, StaticPatching
from isobyte.cost.flops import Flops, Patches, block_products, causal_pairs, flat_flops, pair_products
from isobyte.cost.parameters import Parameters, flat_parameters, stack_parameters
from isobyte.errors import UserError

IDS = 260
"""256 bytes and four ids that stand for none: rows of its tables, its head and its scorer's."""


def expected_patches(patching: Patching, window: int, *, closed: bool = False) -> Patches:
    """Those of a window of BOS and `window` - 1 bytes: exact for rules that do not look at the text. Where windows are
    `closed` their last patch ends with them, whatever the rule says.

    Raises UserError where nothing says how long patches will be.
    """
    after_bos = window - 1
    if isinstance(patching, StaticPatching):
        longest = patching.max_length or patching.size
        full, rest = divmod(after_bos, patching.size)
        last = math.ceil(rest / longest) if closed else rest // longest
        return Patches.of(1 + full * math.ceil(patching.size / longest) + last)
    count = min(after_bos, after_bos / expected_length(patching))
    return Patches.of(1 + (max(1, count) if closed else count))


def expected_row(patching: Patching, patches: int, most: int) -> tuple[int, Patches]:
    """Bytes of a row that predicts `patches` whole patches, `most` bytes at most, and the patches that it shows: BOS
    and all but the last. A row that is cut has fewer."""
    mean = expected_length(patching)
    length = min(most, max(1, round(patches * mean)))
    return length, Patches.of(min(patches, length / mean))


def expected_length(patching: Patching) -> float:
    """Bytes per patch. Raises UserError where nothing says how long patches will be."""
    if patching.mean_length is None:
        raise UserError(
            "a threshold alone does not say how long patches are",
            where="patching",
            how="add mean_length, the bytes per patch to expect",
        )
    return patching.mean_length


def block_size(objective: Objective) -> int:
    """Cells that an objective has the decoder fill beside its text, for each patch."""
    return objective.block if isinstance(objective, BltDiffusionConfig) else 0


def window_patches(objective: Objective, patching: Patching, window: int) -> Patches:
    """Those expected of a window that an objective is asked. Raises UserError where nothing says how long they are."""
    closed = isinstance(objective, PatchwiseConfig)
    return expected_patches(patching, shown_bytes(objective, window), closed=closed)


def shown_bytes(objective: Objective, window: int) -> int:
    """Of a window, BOS included: one that predicts the next byte shows all but the last, one of whole patches all."""
    return window + isinstance(objective, PatchwiseConfig)


def patchwise_flops(
    shape: BltConfig, objective: PatchwiseConfig, *, vocab: int, window: int, patches: Patches | None = None
) -> Flops:
    """Forward FLOPs of one window whose patches are said whole: a cell after each byte and one for each first byte.

    Encoder and decoder see within patches, taken to be of equal length. The head has the end beside the bytes.
    """
    T, patches = window, patches or expected_patches(shape.patching, window + 1, closed=True)
    M = patches.count - 1
    encoder, latent, decoder = shape.encoder, shape.latent, shape.decoder
    both_ways = isinstance(objective, PatchMaskedConfig)
    squared = 2 * patches.pairs - patches.count
    encoded, decoded = (M * causal_pairs(T / M, part.attention_window) for part in (encoder, decoder))
    patcher = _patcher_flops(shape.patching, T + 1)
    return Flops(
        blocks=0.0,
        encoder=(T + 1) * block_products(encoder),
        latent=(M + 1) * block_products(latent),
        decoder=(T + M) * block_products(decoder),
        cross=_cross_flops(shape, T + 1, M + 1, T + M),
        attention=pair_products(encoder) * (encoded + 1)
        + pair_products(decoder) * (decoded + M)
        + pair_products(latent) * (squared if both_ways else patches.pairs),
        attention_executed=pair_products(encoder) * (T + 1) ** 2
        + pair_products(decoder) * (T + M) ** 2
        + pair_products(latent) * squared,
        head=(T + M) * 2 * (vocab + 1) * decoder.width,
        patcher=patcher.forward,
        patcher_executed=patcher.forward + patcher.attention_executed - patcher.attention,
    )


def blt_flops(shape: BltConfig, *, vocab: int, window: int, patches: Patches | None = None, block: int = 0) -> Flops:
    """Forward FLOPs of one window of `window` bytes; with the expected `patches` where none are given.

    With `block` a block of that many cells per patch goes through the decoder too.
    """
    T, patches = window, patches or expected_patches(shape.patching, window)
    encoder, latent, decoder = shape.encoder, shape.latent, shape.decoder
    M, pairs = patches.count, patches.pairs
    if latent.attention_window is not None and latent.attention_window < M:
        pairs = causal_pairs(M, latent.attention_window)
    local = sum(pair_products(part) * causal_pairs(T, part.attention_window) for part in (encoder, decoder))
    patcher = _patcher_flops(shape.patching, window)
    cells, ignored = _cell_flops(shape, T, M, block, vocab)
    return Flops(
        blocks=0.0,
        encoder=T * block_products(encoder),
        latent=M * block_products(latent),
        decoder=T * block_products(decoder),
        cross=_cross_flops(shape, T, M),
        cells=cells,
        cells_executed=cells + ignored,
        attention=local + pair_products(latent) * pairs,
        attention_executed=(pair_products(encoder) + pair_products(decoder)) * T * T
        + pair_products(latent) * (2 * patches.pairs - M),
        head=T * 2 * vocab * decoder.width,
        patcher=patcher.forward,
        patcher_executed=patcher.forward + patcher.attention_executed - patcher.attention,
    )


def _cross_flops(shape: BltConfig, T: float, M: float, cells: float | None = None) -> float:
    """Pooling, projections in and out of the latent width, and cross-attention on both sides, of T bytes and, where
    they are more, of as many cells of the decoder.

    Every byte meets the k vectors of one patch: k scores and k values, whatever the lengths of patches.
    """
    k, E, D = shape.latents, shape.encoder.width, shape.decoder.width
    projections = M * 2 * sum(_projections(shape))
    pools, reads = cross_layers(shape)
    queries_and_out, keys_and_values, pair = 2 * 2, 2 * 2, 4
    pooling = pools * (M * k * queries_and_out * E * E + T * keys_and_values * E * E + T * k * pair * E)
    read = T if cells is None else cells
    reading = reads * (read * queries_and_out * D * D + M * k * keys_and_values * D * D + read * k * pair * D)
    return projections + pooling + reading


def _cell_flops(shape: BltConfig, T: float, blocks: float, size: int, vocab: int) -> tuple[float, float]:
    """Of the cells of blocks: blocks of the decoder, queries of its cross-attention, attention, head; and what a kernel
    computes beside that ignores the mask.

    A cell sees its block and, of the text before that, what its window leaves: the k-th cell k + 1 less than a byte.
    Blocks are taken to begin all over the text.
    """
    decoder, (_, reads), D = shape.decoder, cross_layers(shape), shape.decoder.width
    cells, window = blocks * size, decoder.attention_window
    reach = [None if window is None else max(0, window - 1 - k) for k in range(size)]
    pairs = blocks * (size * size + sum(causal_pairs(T, each) for each in reach) / T)
    executed = (T + cells) ** 2 - T * T
    row = block_products(decoder) + reads * (2 * 2 * D * D + shape.latents * 4 * D) + 2 * vocab * D
    return cells * row + pair_products(decoder) * pairs, pair_products(decoder) * (executed - pairs)


def cross_layers(shape: BltConfig) -> tuple[int, int]:
    """Layers of the encoder that pool, layers of the decoder that read."""
    pools = shape.encoder.layers if shape.encoder_cross_layers == "all" else 1
    reads = shape.decoder.layers if shape.decoder_cross_layers == "all" else 1
    return pools, reads


def _projections(shape: BltConfig) -> tuple[int, int, int]:
    """Weights applied to each patch: bytes' maxima to k queries, k vectors to the latent width, that to k vectors."""
    k, E, G, D = shape.latents, shape.encoder.width, shape.latent.width, shape.decoder.width
    return k * E * E, 0 if k * E == G else k * E * G, k * G * D


def scorer_shape(patching: Patching) -> FlatConfig | None:
    """The network that decides where patches open, if one does."""
    if isinstance(patching, EntropyPatching) and isinstance(patching.scorer, FlatScorer):
        return patching.scorer.shape
    return None


def _patcher_flops(patching: Patching, window: int) -> Flops:
    scorer = scorer_shape(patching)
    if scorer is None:
        return Flops(0.0, 0.0, 0.0, 0.0)
    return flat_flops(scorer, ArConfig(), vocab=IDS, window=window)


def blt_parameters(shape: BltConfig, *, cells: bool = False, beside: int = 0) -> Parameters:
    """Parameters, those of the frozen patcher apart, and `beside` what stands for hidden patches and first bytes. The
    head has a row for each of the 260 ids.

    With `cells` the decoder has embeddings of its own, for the cells of blocks, and one for what is hidden.
    """
    E, D = shape.encoder.width, shape.decoder.width
    pools, reads = cross_layers(shape)
    scorer = scorer_shape(shape.patching)
    tables = shape.hash_functions * len(shape.hash_sizes)
    return Parameters(
        attention=0,
        ffn=0,
        norms=0,
        conditioning=0,
        encoder=stack_parameters(shape.encoder),
        latent=stack_parameters(shape.latent),
        decoder=stack_parameters(shape.decoder) + D,
        cross=pools * (4 * E * E + 2 * E) + reads * (4 * D * D + 2 * D),
        projections=sum(_projections(shape)),
        embedding=IDS * (E + (D if cells or shape.decoder_input == "embedding" else 0)) + D * cells + beside,
        hash_tables=tables * shape.hash_vocab * E,
        head=IDS * D,
        patcher=0 if scorer is None else flat_parameters(scorer, ArConfig(), vocab=IDS).N_total,
    )
