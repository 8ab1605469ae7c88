"""Corpora -> documents -> checksummed shards of symbols -> windows -> batches. Numpy alone, no torch."""
