"""Objects that show themselves: as text at a prompt, as HTML in a notebook."""

from rich.console import Console, RenderableType
from rich.jupyter import JupyterMixin


class Shown(JupyterMixin):
    """What shows itself as `__rich__` says."""

    def __rich__(self) -> RenderableType:
        """What rich prints."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """The same as plain text."""
        console = Console(width=110, no_color=True, highlight=False)
        with console.capture() as capture:
            console.print(self.__rich__())
        return capture.get().rstrip("\n")
