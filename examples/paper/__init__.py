"""The study behind ``examples/reproduce_paper.py``: its plan, committed before the seeds 700 to 709 were run.

Question: which of the paper's claims about its four conditions hold here, for an encoder that counts by itself?

Design: ``CountingEnv-v0``; the encoder ``pooled``; random actions, 5,000 transitions; 300 updates with batches of 64,
drawn uniformly, the same in each condition; no clip, no normalisation of the latents, no stopped gradient. The settings
were chosen on the seeds 0 to 4. Seeds: 700 to 709.

Measures, all on held-out images, of a transition, a perceptron and probes fitted alike to each finished encoder:

- worst error of a required pair (``pairwise_audit``): every two counts must be told apart. 0.5: they are one.
- R² of the auxiliary: of the random map in the condition of that name, of the reward in the others.
- dynamics loss of one step over the variance of the latents.
- the share of walks whose count is right after eight predicted steps.
- accuracy of linear probes of the shape, and of the quadrant in which the mean centre lies, over the mean accuracy of
  the untrained encoders of the same seeds.

Intervals: Student's t over seeds, 95%; differences between ``joint`` and each other condition are paired by seed.

Claims, and what must be seen for each to hold:

1. Dynamics alone collapse: the worst error is at least 0.4 with every seed.
2. With the reward, all nine counts are kept: the worst error is at most 0.01 with every seed.
3. With the reward, shape and position are lost: the interval of each relative probe lies below 1, and the decoder
   paints fewer than 5% of the objects in their places, and at least 50% from a latent that holds them (the control).
4. With a random target, position is kept: the interval of the relative probe lies above that of ``joint``. The row
   says something about the theorem only if R² is at least 0.9.
5. The reward alone merges counts that both losses together keep apart: the interval of the difference in the worst
   error lies below 0.

A second study, planned when the first seeds of the first had shown that untrained ``pooled`` has no places to lose: the
encoder ``places``, which reads a map of 5x5 cells beside the sums, with the seeds 710 to 714; all else is the same. A
further condition, ``random_strong``, gives the random target about unit variance (weight 100), since with weight 1 the
dynamics shrink the latents first: R² is 0.03 after 300 updates, 0.05 after 1,500 (seed 0). Claim 4 is judged on it too.
"""
