"""The study behind ``examples/reproduce_paper.py``."""
