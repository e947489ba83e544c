"""Parts of ``other_tasks.py``."""
