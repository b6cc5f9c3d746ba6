"""Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section."""

import sys

if sys.argv[0] == "-m" and not sys.flags.safe_path and "ttbar" in sys.orig_argv[-len(sys.argv)]:
    del sys.path[0]  # with `python -m ttbar`, the working folder: what is there is no module of ours


def __getattr__(name: str) -> str:
    """The version, which takes longer to find than everything else here."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
