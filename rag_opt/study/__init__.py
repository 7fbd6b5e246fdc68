"""The search: what may be proposed, what proposes it, and the ask-tell loop that runs it."""
