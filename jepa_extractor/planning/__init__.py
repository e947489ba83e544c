"""Planning in latent space: a trained JEPA decides without a policy, and takes a new goal from a few pictures."""
