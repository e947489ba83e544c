"""Studies: each module asks one question, and its docstring says how, before anything was run.

Question, design, measures, seeds and thresholds stand there, or in ``docs/plans``. A module holds

- ``CONFIGURATIONS``, by name, and ``SEEDS``: what is run;
- ``run(configuration, seed, folder)``: one run, the function of ``runner.run_study``;
- ``table(facts)`` and ``draw(facts, path)``: what came of it, as Markdown and as a picture.

And where it needs to:

- ``DEFAULT``: patterns of the configurations that are run unless others are asked for;
- ``TIMED``: true where runs measure time, so that they are made one after the other;
- ``check(configuration)``: raises ``ValueError`` or ``ModuleNotFoundError`` for what cannot be run;
- ``gathered(results)``: what ``facts`` hold beside the machine, unless it is ``{"results": results}``;
- ``SHOWN``: functions of ``facts``, by the keys that name them in pages, beside ``table``.

``python -m studies NAME`` runs one.
"""

NAMES = (
    "partition",
    "tables",
    "coverage",
    "randomness",
    "distractors",
    "paper",
    "paper_places",
    "new_goal",
    "plan_tables",
    "sample_efficiency",
    "other_tasks",
    "encoder",
    "overhead",
    "environment",
    "bisimulation",
    "audit_trials",
    "verdicts",
    "audits",
)
