# SPDX-License-Identifier: GPL-2.0
"""Sphinx's configuration: make htmldocs"""

project = "vfio-mig"
author = "The vfio-mig authors"
project_copyright = "GPL-2.0"

root_doc = "index"
extensions = []
exclude_patterns = []
primary_domain = "c"
highlight_language = "none"
nitpicky = False

html_theme = "alabaster"
html_theme_options = {
    "description": "live migration for VFIO drivers",
    "page_width": "1000px",
}
html_show_sphinx = False

# Types and macros of the kernel, which are not C to Sphinx.
c_id_attributes = ["__user", "__printf(a, b)"]
