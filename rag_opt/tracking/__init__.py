"""MLflow: an outbox on disk that the search writes, and a courier that delivers it, once, behind the search."""
