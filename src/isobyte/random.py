"""Counter-based randomness: every stream has a name, no stream has hidden state."""

import hashlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator called `names` under `seed`: same names, same numbers; other names, independent ones.

    A Philox keyed by a hash of the name, so any step of any stream can be had without running the ones before.
    """
    label = "/".join(map(str, (seed, *names)))
    digest = hashlib.blake2b(label.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))
