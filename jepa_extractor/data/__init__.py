"""Transitions: steps, episodes, a ring of them, and the batches drawn from it."""
