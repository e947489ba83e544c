"""A report as HTML for a notebook: without scripts, and without files."""

from collections.abc import Sequence
from html import escape
from typing import Any

from jepa_extractor.audit.audit_set import AuditSet
from jepa_extractor.audit.words import described

STYLE = """.jepa-audit .pairs {display: flex; flex-wrap: wrap; gap: 1.5em}
.jepa-audit .sides {display: flex; gap: .5em}
.jepa-audit figure {margin: 0; width: 128px; font-size: 85%}
.jepa-audit img {width: 128px; height: 128px; object-fit: contain; image-rendering: pixelated}
.jepa-audit .pair {max-width: 280px}"""


def notebook_html(verdict: str, facts: Sequence[Any], pairs: Sequence[Any], audit_set: AuditSet) -> str:
    """Return a verdict, numbers (``Fact``) and the worst pairs (``Pair``) with pictures, where Pillow is installed."""
    rows = "".join(
        f'<tr><th scope="row">{escape(fact.name)}</th><td>{escape(fact.value)}</td><td>{escape(fact.meaning)}</td></tr>'
        for fact in facts
    )
    shown = "".join(_pair(pair, audit_set) for pair in pairs)
    found = f'<p>The closest pairs that must be apart:</p>\n<div class="pairs">{shown}</div>' if shown else ""
    return (
        f'<div class="jepa-audit">\n<style>\n{STYLE}\n</style>\n<p><b>{escape(verdict)}</b></p>\n'
        f"<table><tbody>\n{rows}\n</tbody></table>\n{found}\n</div>"
    )


def _pair(pair: Any, audit_set: AuditSet) -> str:
    from jepa_extractor.audit.pictures import Pictures

    pictures = Pictures(audit_set.observations)
    sides = []
    for side, row in (("Left", pair.left), ("Right", pair.right)):
        text = escape(described(audit_set, row))
        drawn = (
            f'<img src="{pictures.large(row)}" alt="{side}: {text}">'
            if pictures.can_draw
            else f'<div class="numbers">{escape(pictures.numbers(row))}</div>'
        )
        sides.append(f"<figure>{drawn}<figcaption><b>{side}:</b> {text}</figcaption></figure>")
    return (
        f'<div class="pair"><div class="sides">{"".join(sides)}</div><p class="why">{escape(pair.why)}</p>'
        f"<p>Distance {pair.distance:.3f} of that of random pairs.</p></div>"
    )
