"""Addresses without their passwords and tokens, as they may be shown and stored."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote_plus

MASK = "***"

# What servers, storage and clouds call a parameter that gives access: authz, access_token, X-Amz-Signature, ...
_SECRET = re.compile(
    r"auth|token|signature|secret|passw|pwd|macaroon|credential|session|cookie|ticket|jwt|bearer|api.?key|access.?key"
    r"|^x-(amz|goog|ms)-|^(sig|key|s3key)$",
    re.IGNORECASE,
)

_SCHEME = r"(?:Bearer|Basic)(?:\s|%20|\+)+"
_PARAMETER = re.compile(rf"""([?&;#])([^\s?&;#=/"'<>]+)=((?:{_SCHEME})?[^\s&#"'<>]*)""", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^\s/?#]*(?=@)")
_TOKEN = re.compile(r"(\bBearer(?:\s|%20|\+)+)[\w.~+/=-]{8,}|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?", re.IGNORECASE)


def masked(text: str) -> str:
    """Replace what gives access in all addresses of a text.

    Parameters
    ----------
    text : str
        Any text, e.g. a message or an address.

    Returns
    -------
    str
        The same with asterisks for passwords, tokens and signatures.
    """
    text = _USER.sub(_masked_user, text)
    text = _PARAMETER.sub(_masked_parameter, text)
    return _TOKEN.sub(lambda match: (match[1] or "") + MASK, text)


def masked_everywhere(content: Any) -> Any:
    """Replace what gives access in all texts of a document.

    Parameters
    ----------
    content
        Texts, paths, mappings and sequences of them; anything else stays as it is.

    Returns
    -------
    object
        The same document, with texts as of `masked`.
    """
    if isinstance(content, str | PurePath):
        return masked(str(content))
    if isinstance(content, Mapping):
        return {masked(key) if isinstance(key, str) else key: masked_everywhere(content[key]) for key in content}
    if isinstance(content, list | tuple):
        return [masked_everywhere(item) for item in content]
    return content


def _masked_user(match: re.Match[str]) -> str:
    """The name of a user without the password; a name alone can be a token where it is not one of XRootD."""
    name, colon, _ = match[0].partition(":")
    is_name = colon or match.string.endswith("root://", 0, match.start())
    return (name if is_name else MASK) + (f":{MASK}" if colon else "")


def _masked_parameter(match: re.Match[str]) -> str:
    """A parameter without its value if that is secret; what ends a sentence or its part is kept."""
    mark, name, value = match.groups()
    inside = "?" + unquote_plus(value)  # an address, or parameters, can be the value of one
    if _SECRET.search(unquote_plus(name)) or masked(inside) != inside:
        rest = value[len(value.rstrip(":;,.)]}")) :]
        return f"{mark}{name}={MASK}{rest}"
    return match[0]
