"""The documentation site: `make docs` builds it, with warnings as errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "feast_nb"
author = "The feast_nb maintainers"
release = version = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "requirements.txt"]
html_theme = "pydata_sphinx_theme"
html_title = f"feast_nb {version}"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "use_edit_page_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
nb_execution_mode = "off"  # the outputs are kept in the notebooks, and tested there
# The notebooks' own type has no renderer here: their HTML is what every other page shows, too.
nb_mime_priority_overrides = [
    ("html", "text/html", 0),
    ("html", "text/plain", 10),
]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
suppress_warnings = ["mystnb.unknown_mime_type"]


def setup(app: Any) -> None:
    """Bring what lies outside of this folder, and what the magics say of themselves."""
    app.connect("builder-inited", _tutorials)
    app.connect("builder-inited", _magics)
    app.connect("builder-inited", _own_pages)


def _tutorials(app: Any) -> None:
    for notebook in (ROOT / "notebooks").glob("0*.ipynb"):
        shutil.copy(notebook, HERE / "tutorials" / notebook.name)
    for module in (ROOT / "notebooks").glob("*/*.py"):  # what they link to, to download
        copy = HERE / "tutorials" / module.parent.name / module.name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(module, copy)


def _own_pages(app: Any) -> None:
    """The repository's own pages, whose links to `docs/` lead to the pages beside them here."""
    for name in ("CHANGELOG", "SECURITY"):
        text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
        (HERE / f"{name.lower()}.md").write_text(text.replace("](docs/", "]("), encoding="utf-8")


def _magics(app: Any) -> None:
    """Every magic from its own `--help`, by task as `%feast` lists them."""
    from IPython.core.interactiveshell import InteractiveShell

    from feast_nb import load_ipython_extension, unload_ipython_extension
    from feast_nb.magics.guide import TASKS

    shell = InteractiveShell.instance()
    load_ipython_extension(shell)
    lines = ["# Magics", "", "Each magic answers `--help` with the text below.", ""]
    for task, magics in TASKS.items():
        lines += [f"## {task}", ""]
        for name in magics:
            sign = "%%" if name == "feast_train" else "%"
            manual = repr(shell.run_line_magic(name, "--help"))
            lines += [f"### `{sign}{name}`", "", "```text", manual.strip(), "```", ""]
    unload_ipython_extension(shell)
    (HERE / "reference" / "magics.md").write_text("\n".join(lines), encoding="utf-8")
