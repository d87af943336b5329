# SPDX-License-Identifier: GPL-2.0
"""Sphinx's configuration: make htmldocs"""

import os
import re
import subprocess


def output_of(*command):
    """A command's output, or nothing where it cannot be run."""
    try:
        return subprocess.run(command, cwd=TOP, capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def contact_of_build():
    """The maintainer of the packages of this build, if there is one, or MAINTAINERS' word."""
    if os.environ.get("DEBEMAIL"):
        name = os.environ.get("DEBFULLNAME", "vfio-mig")
        return f"{name} <{os.environ['DEBEMAIL']}>"
    with open(os.path.join(TOP, "MAINTAINERS"), encoding="utf-8") as maintainers:
        return re.search(r"^B:\s+(.*)", maintainers.read(), re.M).group(1)


# tools/build/htmldocs builds in a copy and says where the checkout is.
TOP = os.environ.get("VFIO_MIG_TOP", os.path.join(os.path.dirname(__file__), ".."))

project = "vfio-mig"
author = "The vfio-mig authors"
project_copyright = "the vfio-mig authors, GPL-2.0"
with open(os.path.join(TOP, "packaging/version.mk"), encoding="utf-8") as f:
    version = re.search(r"^VERSION := (\S+)", f.read(), re.M).group(1)
release = version
today = output_of("git", "log", "-1", "--format=%cs") or "no date"

root_doc = "index"
extensions = ["sphinx.ext.graphviz"]
graphviz_output_format = "svg"
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
primary_domain = "c"
highlight_language = "none"

# Every reference has to lead somewhere, except for what the kernel's headers define.
nitpicky = True
nitpick_ignore_regex = [
    (r"c:identifier", r"(?!vfio_mig).*"),
    (r"c:identifier", r"vfio_mig|vfio_mig_(dirty|mapping|worker|dma_access)"),
    (r"c:(type|func|struct)", r"(?!vfio_mig).*"),
]

html_theme = "sphinx_rtd_theme"
html_theme_options = {"collapse_navigation": False, "navigation_depth": 3}
html_title = f"vfio-mig {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
html_show_sourcelink = False
html_context = {
    "contact": contact_of_build(),
    "built_from": f"version {release}, {today}, commit "
                  + (output_of("git", "rev-parse", "--short", "HEAD") or "unknown"),
}

# Types and macros of the kernel, which are not C to Sphinx.
c_id_attributes = ["__user", "__printf(a, b)", "__rcu"]


def link_functions(_app, page, source):
    """Has each function of the library, where a page names it, lead to its kernel-doc."""
    if page not in ("api", "abi", "vfio-mig"):
        # One of that name is VFIO's.
        source[0] = re.sub(r"``(vfio_mig_(?!get_next_state)\w+)\(\)``",
                           r":c:func:`\1`", source[0])


def setup(app):
    """What is done to each page before it is parsed."""
    app.connect("source-read", link_functions)
