"""The study of new goals: one training, then every goal from a few labelled pictures."""
