"""Sphinx: `make docs`."""

import django
from django.conf import settings

# The reference imports the integration with Django, which wants settings and apps.
settings.configure(
    SECRET_KEY="the-documentation-has-no-secrets",  # noqa: S106 - it signs nothing
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "unstale.contrib.django.outbox"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

project = "unstale"
author = "The unstale authors"
project_copyright = "The unstale authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "unstale"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports: list[str] = []
napoleon_google_docstring = True
suppress_warnings = ["ref.python"]  # a name that several classes have, such as Attributes of one word
