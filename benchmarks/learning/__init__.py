"""Parts of ``sample_efficiency.py``."""
