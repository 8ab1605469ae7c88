"""Recipes: whole configs as data."""
