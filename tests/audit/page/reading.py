"""How tests read a page."""

import json
import re

from jepa_extractor.audit.page import write_page


def written(tmp_path, reports, **options):
    """Return the text of the page of ``reports``."""
    path = tmp_path / "out" / "report.html"
    write_page(reports, path, **options)
    return path.read_text(encoding="utf-8")


def without_scripts(page):
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def content(page):
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])


def addresses(page):
    """Every address that a browser would fetch from the markup."""
    return re.findall(
        r"""(?:src|href|srcset|data|action)=["']?([^"'\s>]+)|url\(([^)]*)\)|@import""", without_scripts(page)
    )
