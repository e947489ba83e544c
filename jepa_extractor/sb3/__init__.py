"""The plug-in for Stable-Baselines3: everything that knows how its policies, callbacks and algorithms work."""
