"""Environments that come with their exact MDP."""
