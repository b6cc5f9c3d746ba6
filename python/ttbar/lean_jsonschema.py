"""jsonschema without what takes seconds to import and no schema here asks for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Let a module seem not to be installed to what is imported meanwhile."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


with _without("rfc3987_syntax"):  # a grammar of addresses, which comes with Jupyter
    import jsonschema

__all__ = ["jsonschema"]
