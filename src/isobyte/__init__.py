"""Compare language-model designs at equal compute, in bits per byte that you can decode."""

__version__ = "0.1.0"
