"""What reaches a terminal: text that others wrote is shown as it is, and cannot act on what shows it."""

import unicodedata

from ttbar.masking import masked


def printable(text: str) -> str:
    r"""Escape what is not seen but acts on a terminal or on the direction of text.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The same with `\x1b` and the like in place of control and format characters, except ends of lines.
    """
    return "".join(
        character if character == "\n" or unicodedata.category(character) not in _HIDDEN else _escaped(character)
        for character in text
    )


def one_line(text: str) -> str:
    """Make one printable line of a text, which is not taken for the line that ends a failed command.

    Passwords and tokens of addresses are masked in it.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        Its lines, one after the other.
    """
    line = printable(masked(" ".join(part.strip() for part in text.splitlines())))
    return f"({line})" if line.startswith("error:") else line


_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, halves of surrogate pairs, ends of lines and paragraphs


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
