"""Samplers: they propose the next pipeline."""
