"""Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section."""

import sys

if sys.argv[0] == "-m" and not sys.flags.safe_path and "ttbar" in sys.orig_argv[-len(sys.argv)]:
    del sys.path[0]  # with `python -m ttbar`, the working folder: what is there is no module of ours

from importlib.metadata import version

__version__ = version("ttbar")
