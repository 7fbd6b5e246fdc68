"""MLflow: an outbox on disk that the search writes, and a process that delivers it behind the search, once."""
