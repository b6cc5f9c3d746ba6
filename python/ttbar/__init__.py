"""Top-quark pairs in CMS Open Data: from NanoAOD files to a fitted cross-section."""


def __getattr__(name: str) -> str:
    """The version, which takes longer to find than everything else here."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version(__name__)
