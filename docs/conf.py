"""The site: make docs.

The source folder is the repository, so that pages link to each other, to examples and to studies by the same paths here
and on a host that shows Markdown.
"""

import inspect
import os
import shutil
from importlib import import_module
from importlib.metadata import version as version_of
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import jepa_extractor
from docs import make_report  # the site is made from the folder of the repository

# what the kernels of the tutorials inherit
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a debugger that nobody uses warns of frozen modules
os.environ["OMP_NUM_THREADS"] = "1"  # the tutorials run side by side
os.environ["TQDM_MININTERVAL"] = "60"  # else a notebook to download holds each state of a progress bar
profile = Path(__file__).parents[1] / "build" / "ipython" / "profile_default"
profile.mkdir(parents=True, exist_ok=True)
(profile / "ipython_kernel_config.py").write_text(
    "c.IPKernelApp.log_level = 'ERROR'  # they listen on this machine alone\n"
    "parts = 'text.color', 'axes.labelcolor', 'axes.edgecolor', 'xtick.color', 'ytick.color'\n"
    "grey = dict.fromkeys(parts, '#7d7d7d')\n"
    "c.InlineBackend.rc = {'figure.facecolor': 'none', 'axes.facecolor': 'none', **grey}  # on bright and dark pages\n"
)
os.environ["IPYTHONDIR"] = str(profile.parent)

project = "counting-jepa"
author = "the counting-jepa authors"
project_copyright = f"2026, {author}"
version = release = version_of("counting-jepa")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md"]
templates_path = ["templates"]

myst_heading_anchors = 4
nb_execution_in_temp = True  # what a tutorial saves is not for the repository
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds for a cell
nb_output_stderr = "remove"  # progress bars, which move in a notebook only
autosummary_generate = False  # the directive "public" lists the names
copybutton_prompt_text = "$ "
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "all"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "counting-jepa"
html_favicon = "images/favicon.png"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_use_index = False  # the reference and the search do better
html_additional_pages = {"index": "redirect.html"}
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


class Public(SphinxDirective):
    """``.. public:: package``: a table of the public names of a package, then the entry of each.

    What ``jepa_extractor`` exports itself stands on its page alone.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the table and of the entries."""
        package = import_module(self.arguments[0])
        front = set() if package is jepa_extractor else set(dir(jepa_extractor))
        names = [name for name in package.__all__ if name not in front and callable(getattr(package, name))]
        lines = [f".. currentmodule:: {package.__name__}", "", ".. autosummary::", ""]
        lines += [f"   {name}" for name in names] + [""]
        for name in names:
            kind = "class" if inspect.isclass(getattr(package, name)) else "function"
            lines += [f".. auto{kind}:: {package.__name__}.{name}"]
            lines += ["   :members:"] * (kind == "class") + [""]
        return self.parse_text_to_nodes(StringList(lines, self.arguments[0]))


def live_report(app: Sphinx, error: Exception | None) -> None:
    """Put a report into the site: what the demonstration makes."""
    if error is None and app.builder.format == "html":
        there = Path(app.outdir, "live", "report.html")
        there.parent.mkdir(exist_ok=True)
        shutil.copy(make_report.make(), there)


def folders_as_text(app: Sphinx, doctree: nodes.document) -> None:
    """Turn links to folders of the repository into their text: the site has no page for a folder."""
    page = Path(app.srcdir, app.env.docname)
    for link in list(doctree.findall(pending_xref)):
        if link.get("reftype") == "myst" and (page.parent / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def without_aliases(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:  # noqa: ARG001
    """Leave out the fields of a named tuple that say no more than their number: its class describes them."""
    return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Let Sphinx call what is above."""
    app.add_directive("public", Public)
    app.connect("autodoc-skip-member", without_aliases)
    app.connect("doctree-read", folders_as_text)
    app.connect("build-finished", live_report)
