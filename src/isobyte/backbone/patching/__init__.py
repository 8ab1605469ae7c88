"""Bytes into patches: rules, the models that they ask, and how a threshold is set."""
