"""Questions made and evidence labelled: by a model, by rule, by a person."""
