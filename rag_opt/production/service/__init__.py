"""A bundle as a service: HTTP with limits, keys, metrics, traces, feedback, and a page to ask on."""
