"""The viewer: a window in which a person plays CountingEnv, or watches an agent play it."""
