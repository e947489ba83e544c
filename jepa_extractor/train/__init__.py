"""Training a JEPA: one step, pretraining, and fitting the transition."""
