"""How Sphinx builds this documentation: `nox -s docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "pytest-modelbudget"
version = release = version_of(project)
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxarg.ext",
    "reference",
]
exclude_patterns = ["_generated"]
nitpicky = False
add_module_names = False
autodoc_member_order = "bysource"
napoleon_use_ivar = True
default_role = "code"  # the docstrings write names in single backticks
smartquotes = False  # a setting is written in straight quotes
html_theme = "furo"
html_title = f"{project} {version}"
html_show_copyright = False
myst_heading_anchors = 3
myst_ref_domains = ["std", "py"]
