"""Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section."""

from importlib.metadata import version

__version__ = version("ttbar")
