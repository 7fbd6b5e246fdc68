"""Tests of texts: sentences, words, tokens."""
