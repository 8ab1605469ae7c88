"""Few rows through a stack of blocks on a CPU, in loops compiled by Numba: a stack is one call, a weight is read once.

The mathematics is that of `layers`, to rounding. Each number of a product is one sum, taken by one thread in one order,
so that results do not depend on how many threads there are. Weights of 16 bits come as the fp16 numbers' bits (uint16)
and become fp32 in registers. A row sees a range of places of its own text, which lie in a cache by place.

All is in one file: what Numba keeps on disk it compiles again when the file changes that a function is in, and not for
a change of what that calls elsewhere.
"""

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from isobyte.backbone.arrays import Array
from isobyte.backbone.compiling import kept, threaded

Plain = tuple[Any, ...]
"""A `BlockWeights`, `CrossWeights` or `Sight` of `arrays` as a plain tuple: a class of ours would be looked for when
what is on disk is read, also by versions that no longer have it."""

# sums may be rearranged, so that they are taken several numbers at a time
summed = partial(kept, fastmath={"reassoc", "contract", "nsz", "arcp"})


def _widened(_context: Any, weight: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.fpext(builder.bitcast(given[0], ir.HalfType()), ir.FloatType()) if halved else given[0]

    halved = weight == types.uint16
    return types.float32(weight), generate


_number: Any = intrinsic(_widened)
"""A weight in fp32."""


def _reinterpreted(_context: Any, _bits: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.FloatType())

    return types.float32(types.int32), generate


_from_bits: Any = intrinsic(_reinterpreted)


@summed
def _dot(weight: Array, x: Array) -> np.float32:
    found = np.float32(0)
    for i in range(len(weight)):
        found += _number(weight[i]) * x[i]
    return found


@summed
def _dots(weight: Array, other: Array, x: Array, y: Array) -> tuple[np.float32, ...]:
    """Of two rows of a matrix with two vectors: what is read is used twice."""
    by_x = by_y = other_x = other_y = np.float32(0)
    for i in range(len(weight)):
        a, b, c, d = _number(weight[i]), _number(other[i]), x[i], y[i]
        by_x += a * c
        by_y += a * d
        other_x += b * c
        other_y += b * d
    return by_x, by_y, other_x, other_y


@kept
def _exp(x: np.float32) -> np.float32:
    """To 1e-7 of itself, and several at a time: 2^n times a polynomial of what is left (Cephes' `expf`)."""
    x = np.float32(88.0) if x > np.float32(88.0) else x
    x = np.float32(-87.0) if x < np.float32(-87.0) else x
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    power = _from_bits((np.int32(n) + np.int32(127)) << np.int32(23))
    return (p * r * r + r + np.float32(1)) * power


@threaded
def product(weight_OI: Array, x_NI: Array, y_NO: Array) -> None:
    """y = x @ weight.T."""
    outs, rows = len(weight_OI), len(x_NI)
    for pair in prange((outs + 1) // 2):
        # an odd last one is worked out twice
        o, p = 2 * pair, min(2 * pair + 1, outs - 1)
        # the first row alone: memory is read fastest in order
        y_NO[0, o] = _dot(weight_OI[o], x_NI[0])
        y_NO[0, p] = _dot(weight_OI[p], x_NI[0])
        for n in range(1, rows - 1, 2):
            a, b, c, d = _dots(weight_OI[o], weight_OI[p], x_NI[n], x_NI[n + 1])
            y_NO[n, o], y_NO[n + 1, o], y_NO[n, p], y_NO[n + 1, p] = a, b, c, d
        if rows % 2 == 0:
            y_NO[rows - 1, o] = _dot(weight_OI[o], x_NI[rows - 1])
            y_NO[rows - 1, p] = _dot(weight_OI[p], x_NI[rows - 1])


@kept
def normed(x_ND: Array, gain_D: Array, eps: float, y_ND: Array) -> None:
    """y = x gain over the root mean square of x."""
    for n in range(len(x_ND)):
        scale = np.float32(1 / np.sqrt(_dot(x_ND[n], x_ND[n]) / x_ND.shape[1] + eps))
        for i in range(x_ND.shape[1]):
            y_ND[n, i] = x_ND[n, i] * scale * gain_D[i]


@kept
def scaled_product(weight_OI: Array, gain_I: Array, eps: float | None, x_NI: Array, y_NO: Array) -> None:
    """y = (x gain) @ weight.T, with `eps` of x over its root mean square."""
    scaled = np.empty_like(x_NI)
    if eps is None:
        for n in range(len(x_NI)):
            scaled[n] = x_NI[n] * gain_I
    else:
        normed(x_NI, gain_I, eps, scaled)
    product(weight_OI, scaled, y_NO)


@kept
def _gated(both_N2F: Array, y_NF: Array) -> None:
    width = y_NF.shape[1]
    for n in range(len(y_NF)):
        gate, up, y = both_N2F[n, :width], both_N2F[n, width:], y_NF[n]
        for i in range(width):
            y[i] = gate[i] / (np.float32(1) + _exp(-gate[i])) * up[i]


@kept
def _softmax(scores: Array) -> None:
    top = scores.max()
    total = np.float32(0)
    for i in range(len(scores)):
        scores[i] = _exp(scores[i] - top)
    for i in range(len(scores)):
        total += scores[i]
    for i in range(len(scores)):
        scores[i] /= total


@kept
def _kept(qkv_NO: Array, turns_PD: Array, rows_6N: Array, kv: Array, heads: int) -> None:
    """Turn queries and keys by their places, and keep keys and values."""
    held, width = kv.shape[1], kv.shape[3]
    for n in range(len(qkv_NO)):
        text, place, slot = rows_6N[:3, n]
        turn, row = turns_PD[place], qkv_NO[n]
        for head in range(heads + held // 2):
            for i in range(head * width, head * width + width, 2):
                j = i - head * width
                a, b, cos, sin = row[i], row[i + 1], turn[j], turn[j + 1]
                row[i], row[i + 1] = a * cos - b * sin, a * sin + b * cos
        for head in range(held):
            begin = (heads + head) * width
            kv[text, head, slot] = row[begin : begin + width]


@threaded
def _attended(qkv_NO: Array, rows_6N: Array, kv: Array, block: int, heads: int, y_ND: Array) -> None:
    kv_heads, room, width = kv.shape[1] // 2, kv.shape[2] - block, kv.shape[3]
    scale = np.float32(width**-0.5)
    for task in prange(len(y_ND) * heads):
        n, head = task // heads, task % heads
        text, since, until, cells = rows_6N[0, n], rows_6N[3, n], rows_6N[4, n], rows_6N[5, n]
        shared = head * kv_heads // heads
        k, v = kv[text, shared], kv[text, kv_heads + shared]
        q, y = qkv_NO[n, head * width : head * width + width], y_ND[n, head * width : head * width + width]
        scores = np.empty(cells + max(0, until - since), np.float32)
        for at in range(cells):
            scores[at] = _dot(k[at], q) * scale
        for at in range(cells, len(scores)):
            scores[at] = _dot(k[block + (since + at - cells) % room], q) * scale
        _softmax(scores)
        y[:] = 0
        for at in range(len(scores)):
            value, weight = v[at if at < cells else block + (since + at - cells) % room], scores[at]
            for i in range(width):
                y[i] += weight * value[i]


@kept
def attend(q_D: Array, k_JD: Array, v_JD: Array, heads: int, y_D: Array) -> None:
    """One query, whose scale is in it, over J keys and values without places."""
    width = len(q_D) // heads
    scores = np.empty(len(k_JD), np.float32)
    for begin in range(0, len(q_D), width):
        q, y = q_D[begin : begin + width], y_D[begin : begin + width]
        for each in range(len(k_JD)):
            scores[each] = _dot(k_JD[each, begin : begin + width], q)
        _softmax(scores)
        y[:] = 0
        for each in range(len(k_JD)):
            for i in range(width):
                y[i] += scores[each] * v_JD[each, begin + i]


@kept
def add_residual(x_ND: Array, residual: float, y_ND: Array) -> None:
    """x times `residual`, and y added."""
    for n in range(len(x_ND)):
        for i in range(x_ND.shape[1]):
            x_ND[n, i] = np.float32(residual) * x_ND[n, i] + y_ND[n, i]


@kept
def through(x_LND: Array, layers: Plain, sight: Plain, turns_PD: Array, readers: Plain, read_NL2KD: Array) -> None:
    """x_LND[0] through L blocks; what comes out of each is the next of `x_LND` [L + 1, N, D]. New keys and values are
    kept.

    `layers` are `BlockWeights`, `sight` is a `Sight`, and `readers` are `CrossWeights`, of none where arrays are empty.
    `turns_PD` are cosine and sine of each pair of coordinates at each place. Before block l, if there is a reader for
    it, row n reads the k keys and values read_NL2KD[n, l] of a patch.
    """
    norms, qkv_LOD, outs, ffn_norms, gate_ups, downs, heads, eps = layers
    reader_norms, queries, _, _, reader_outs, reader_heads, reader_eps, residual = readers
    kv_LB2HRd, block, rows_6N = sight
    rows, width = x_LND.shape[1:]
    a, b = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
    qkv = np.empty((rows, qkv_LOD.shape[1]), np.float32)
    mixed = np.empty((rows, outs.shape[2]), np.float32)
    both = np.empty((rows, gate_ups.shape[1]), np.float32)
    hidden = np.empty((rows, downs.shape[2]), np.float32)
    for layer in range(len(qkv_LOD)):
        x, kv = x_LND[layer + 1], kv_LB2HRd[layer]
        x[:] = x_LND[layer]
        if layer < len(queries):
            normed(x, reader_norms[layer], reader_eps, a)
            product(queries[layer], a, b)
            for n in range(rows):
                attend(b[n], read_NL2KD[n, layer, 0], read_NL2KD[n, layer, 1], reader_heads, a[n])
            product(reader_outs[layer], a, b)
            add_residual(x, residual, b)
        normed(x, norms[layer], eps, a)
        product(qkv_LOD[layer], a, qkv)
        _kept(qkv, turns_PD, rows_6N, kv, heads)
        _attended(qkv, rows_6N, kv, block, heads, mixed)
        product(outs[layer], mixed, a)
        x += a
        normed(x, ffn_norms[layer], eps, a)
        product(gate_ups[layer], a, both)
        _gated(both, hidden)
        product(downs[layer], hidden, a)
        x += a


@kept
def pooled(hidden_NBRD: Array, spans_P3: Array, pool_OD: Array, poolers: Plain, x_PKD: Array) -> None:
    """Into `x_PKD` the k vectors of P patches, each of the bytes of one text from a place to before another. What layer
    n made of place p of text b is hidden_NBRD[n, b, p modulo R]; the first pooling is by maximum."""
    norms, queries, held_norms, key_values, outs, heads, eps, residual = poolers
    room, width = hidden_NBRD.shape[2:]
    patches, vectors = x_PKD.shape[:2]
    ends = np.cumsum(spans_P3[:, 2] - spans_P3[:, 1])
    own = np.empty((len(hidden_NBRD), ends[-1], width), np.float32)
    first = np.empty((patches, width), np.float32)
    for p in range(patches):
        text, start, end = spans_P3[p]
        for place in range(start, end):
            own[:, ends[p] - end + place] = hidden_NBRD[:, text, place % room]
        first[p] = own[0, ends[p] - 1]
        for at in range(ends[p] - (end - start), ends[p] - 1):
            first[p] = np.maximum(first[p], own[0, at])
    product(pool_OD, first, x_PKD.reshape(patches, vectors * width))
    x_ND = x_PKD.reshape(patches * vectors, width)
    a, b = np.empty_like(x_ND), np.empty_like(x_ND)
    h, kv = np.empty((ends[-1], width), np.float32), np.empty((ends[-1], 2 * width), np.float32)
    for layer in range(len(own)):
        normed(own[layer], held_norms[layer], eps, h)
        product(key_values[layer], h, kv)
        normed(x_ND, norms[layer], eps, a)
        product(queries[layer], a, b)
        for n in range(len(x_ND)):
            end = ends[n // vectors]
            begin = end - (spans_P3[n // vectors, 2] - spans_P3[n // vectors, 1])
            attend(b[n], kv[begin:end, :width], kv[begin:end, width:], heads, a[n])
        product(outs[layer], a, b)
        add_residual(x_ND, residual, b)


@kept
def held(latents_PG: Array, vectors_OG: Array, readers: Plain, found_PL2KD: Array) -> None:
    """Into `found_PL2KD` the keys and values of every layer that reads patches, of their latents."""
    _, _, norms, key_values, _, _, eps, _ = readers
    patches, layers, _, vectors, width = found_PL2KD.shape
    flat = np.empty((patches, vectors * width), np.float32)
    product(vectors_OG, latents_PG, flat)
    x = flat.reshape(patches * vectors, width)
    a, kv = np.empty_like(x), np.empty((patches * vectors, 2 * width), np.float32)
    for layer in range(layers):
        normed(x, norms[layer], eps, a)
        product(key_values[layer], a, kv)
        for n in range(patches * vectors):
            found_PL2KD[n // vectors, layer, 0, n % vectors] = kv[n, :width]
            found_PL2KD[n // vectors, layer, 1, n % vectors] = kv[n, width:]
