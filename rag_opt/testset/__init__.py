"""Test sets: questions written and evidence labelled, by a model, by rule, or by a person."""
