"""Everything that knows about scripts and languages: tokens, words, sentences, offsets."""
