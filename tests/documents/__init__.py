"""Documents of known content, written by script: their words in order, and which cell stands under which name."""
