"""One pipeline object, searched, exported and served alike: its specification, its plan, and one file a stage."""
