"""Experiments on the claim of arXiv 2509.12249: the auxiliary decides what an encoder keeps.

Each module is one experiment. Its docstring says the question, the design, the measures, the seeds and the thresholds,
and was committed before its runs. It holds ``CONFIGURATIONS`` and ``SEEDS``; ``run(configuration, seed, folder)``, the
function of a study; and ``table(results)`` and ``draw(results, path)``.
"""
