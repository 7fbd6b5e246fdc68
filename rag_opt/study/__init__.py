"""The search: what may be proposed, who proposes it, and the one driver that asks and tells."""
