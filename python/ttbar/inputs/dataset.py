"""Data set files: which files each sample is made of."""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any

from ttbar.errors import InputError, UsageError, did_you_mean
from ttbar.inputs.files import InputFile
from ttbar.lean_jsonschema import jsonschema
from ttbar.reading import read_json, require_file


def _fits(value: Any, schema: Any) -> bool:
    """Whether a value is as a schema wants it, if that can be said quickly: no error is missed, good values may be."""
    kinds = schema["type"]
    if type(value) is str and "string" in kinds:
        return re.match(schema["pattern"], value) is not None
    if type(value) is int and "integer" in kinds:
        return bool(schema["minimum"] <= value <= schema["maximum"])
    if type(value) is dict and "object" in kinds:
        properties = schema["properties"]
        return all(key in value for key in schema["required"]) and all(
            _fits(part, properties[key]) for key, part in value.items() if key in properties
        )
    return False


def _items(validator: Any, items: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """Validate a list as the standard does, but without a second look at what fits: a list can have 100,000 files."""
    for index, item in enumerate(instance):
        if not _fits(item, items):
            yield from validator.descend(item, items, path=index)


# In later drafts of JSON schema than the fourth, 20000.0 is an integer. It is not a number of events.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"items": _items}, type_checker=jsonschema.Draft4Validator.TYPE_CHECKER
)

_MAX_EVENTS = 2**53  # as far as a double counts one by one

# No control characters, ends of lines, halves of surrogate pairs, and nothing that is invisible or turns what follows
# around: messages are lines that show what is there, paths are encoded.
_PATH = {"pattern": r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+\Z"}
_FILE_PROPERTIES: dict[str, Any] = {
    "path": {"description": "a printable path", "type": "string", **_PATH},
    "nevts": {
        "description": "the number of generated events, an integer above 0",
        "type": "integer",
        "minimum": 1,
        "maximum": _MAX_EVENTS,
    },
    "entries": {
        "description": "the number of stored events, an integer of at least 0",
        "type": "integer",
        "minimum": 0,
        "maximum": _MAX_EVENTS,
    },
    "mirrors": {
        "description": "a list of printable paths",
        "type": "array",
        "items": {"description": "a printable path", "type": "string", **_PATH},
    },
    "checksum": {
        "description": "'adler32:' and eight hexadecimal digits in lower case",
        "type": "string",
        "pattern": r"^adler32:[0-9a-f]{8}\Z",
    },
}
_FILE = {
    "description": "a printable path, or an object with 'path' and 'nevts'",
    "type": ["string", "object"],
    **_PATH,
    "required": ["path", "nevts"],
    "properties": _FILE_PROPERTIES,
}
_VARIATION = {
    "description": "an object with a list 'files'",
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "description": "a list of at least one file",
            "type": "array",
            "minItems": 1,
            "items": _FILE,
        },
    },
}

LUMINOSITY, CROSS_SECTION = "luminosity", "cross_section"
"""Keys of what a data set file can set for itself: in 1/pb beside the processes, and in pb beside the variations."""

_POSITIVE = {"description": "a number above 0", "type": "number", "exclusiveMinimum": 0, "maximum": 1e300}


@dataclass(frozen=True)
class Sample:
    """The files of a process and a variation."""

    process: str
    """Name of the process, e.g. `ttbar`."""
    variation: str
    """Name of the alternative simulation, or `nominal`."""
    files: tuple[InputFile, ...]
    """The files, in the order of the data set."""
    cross_section: float | None = None
    """Cross-section of the process in pb, if the data set says."""
    luminosity: float | None = None
    """Integrated luminosity in 1/pb, if the data set says."""

    @property
    def name(self) -> str:
        """Name of the sample, e.g. `ttbar__nominal`."""
        return f"{self.process}__{self.variation}"


def load_dataset(
    path: Path, known: Mapping[str, Collection[str]], prefixes: Sequence[tuple[str, str]] = ()
) -> list[Sample]:
    """Read a data set file.

    Parameters
    ----------
    path : pathlib.Path
        JSON file: an object of processes, each an object of variations, each an object with a list `files`. Beside
        the processes there can be a `luminosity`, beside the variations of a process its `cross_section`.
    known : mapping of str to collection of str
        The variations that the analysis knows for each process that it knows.
    prefixes : sequence of pairs of str
        Pairs of an old and a new beginning. The first whose old one fits replaces the beginning of the path of a
        file or its mirror, as the data set file writes it: a relative path is still relative to that file afterwards.

    Returns
    -------
    list of Sample
        The samples in the order of the data set file.

    Raises
    ------
    InputError
        If the file cannot be read or is not as described.
    """
    require_file(path)
    with path.open("rb") as stream:
        if stream.read(4) == b"root":
            example = f'{{"ttbar": {{"nominal": {{"files": ["{path.name}"]}}}}}}'
            raise InputError(
                f"{path}: a ROOT file, where a data set file is wanted: a JSON file that lists ROOT files, such as "
                + example
            )
    document = read_json(path)
    error = next(_Validator(schema(known)).iter_errors(document), None)
    if error is not None:
        place = error.json_path.removeprefix("$").removeprefix(".") or "the top level"
        reason = f"{place} must be {error.schema['description']}, not {short_repr(error.instance)}"
        raise InputError(f"{path}: {reason}{_intended(error)}")
    luminosity = document.pop(LUMINOSITY, None)
    samples = []
    for process, variations in document.items():
        cross_section = variations.pop(CROSS_SECTION, None)
        for variation, content in variations.items():
            for index, entry in enumerate(content["files"]):
                _check_keys(f"{path}: {process}.{variation}.files[{index}]", entry)
            files = _files(path, f"{process}.{variation}", content["files"], prefixes)
            samples.append(Sample(process, variation, files, cross_section, luminosity))
    if not samples:
        raise InputError(f"{path}: the top level must be an object with a process and a variation at least")
    return samples


def select_samples(samples: Sequence[Sample], names: str) -> list[Sample]:
    """Choose samples by name.

    Parameters
    ----------
    samples : sequence of Sample
        What there is.
    names : str
        Names separated by commas; `all` stands for all samples and `nominal` for those of nominal simulation.

    Returns
    -------
    list of Sample
        The chosen samples, in the order in which they were given.

    Raises
    ------
    UsageError
        If a name fits no sample.
    """
    chosen = select_names([sample.name for sample in samples], names)
    return [sample for sample in samples if sample.name in chosen]


def select_names(available: Sequence[str], names: str) -> list[str]:
    """Choose names of samples.

    Parameters
    ----------
    available : sequence of str
        What there is.
    names : str
        As in `select_samples`.

    Returns
    -------
    list of str
        The chosen names, in the order in which they are available.

    Raises
    ------
    UsageError
        If a name fits no sample.
    """
    chosen: set[str] = set()
    for name in (part.strip() for part in names.split(",")):
        fitting = {a for a in available if name in ("all", a) or (name == "nominal" and a.endswith("__nominal"))}
        if not fitting:
            reason = f"there is no sample {name!r}, but {', '.join(available)}"
            raise UsageError("--samples", reason + did_you_mean(name, [*available, "all", "nominal"]))
        chosen |= fitting
    return [name for name in available if name in chosen]


def limit_files(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """Keep the first files of each sample.

    Parameters
    ----------
    samples : sequence of Sample
        What there is.
    limit : int
        Largest number of files of a sample.

    Returns
    -------
    list of Sample
        The same samples with at most `limit` files each.
    """
    return [replace(sample, files=sample.files[:limit]) for sample in samples]


def _intended(error: jsonschema.ValidationError) -> str:
    """What the writer of a data set file may have meant, given what is wrong."""
    if error.validator == "enum":
        return did_you_mean(str(error.instance), error.validator_value)
    if error.validator == "required":
        return "".join(
            did_you_mean(key, [missing])
            for missing in error.validator_value
            for key in error.instance
            if missing not in error.instance
        )
    return ""


def _check_keys(here: str, entry: Any) -> None:
    """Refuse a misspelled key of a file, which would be left out without a word; others may be there."""
    known = _FILE_PROPERTIES
    if isinstance(entry, dict) and not entry.keys() <= known.keys():
        missing = [key for key in known if key not in entry]
        for key in entry.keys() - known.keys():
            if meant := get_close_matches(key.lower(), missing, 1, cutoff=0.8):
                raise InputError(f"{here} has an unknown key {short_repr(key)} (did you mean {meant[0]!r}?)")


def schema(known: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Describe a data set file: what fails in it is not what its description says it must be.

    Parameters
    ----------
    known : mapping of str to collection of str
        The variations that the analysis knows for each process that it knows.

    Returns
    -------
    dict
        A JSON schema.
    """

    def one_of(names: Collection[str], kind: str, key: str) -> dict[str, Any]:
        return {"enum": [*names, key], "description": f"made of known {kind} ({', '.join(names)})"}

    return {
        "description": "an object with a process at least",
        "type": "object",
        "minProperties": 1,
        "propertyNames": one_of(known, "processes", LUMINOSITY),
        "properties": {LUMINOSITY: _POSITIVE}
        | {
            process: {
                "description": "an object with a variation at least",
                "type": "object",
                "minProperties": 1,
                "propertyNames": one_of(variations, "variations", CROSS_SECTION),
                "properties": {CROSS_SECTION: _POSITIVE},
                "additionalProperties": _VARIATION,
            }
            for process, variations in known.items()
        },
    }


def _files(
    dataset: Path, place: str, entries: Sequence[Any], prefixes: Sequence[tuple[str, str]]
) -> tuple[InputFile, ...]:
    """Files of a sample, given what the data set file lists at a place."""
    files: dict[str, InputFile] = {}
    folder = dataset.absolute().parent
    for index, entry in enumerate(entries):
        here = f"{dataset}: {place}.files[{index}]"
        content: dict[str, Any] = {"path": entry} if isinstance(entry, str) else entry
        path, *mirrors = (
            _resolve(here, folder, written, prefixes) for written in (content["path"], *content.get("mirrors", ()))
        )
        nevts = content.get("nevts")
        stored = content.get("entries", nevts)
        if nevts is not None and stored > nevts:
            raise InputError(f"{here}: {path} cannot store {stored} entries of {nevts} generated events")
        file = InputFile(path, nevts, stored, tuple(mirrors), content.get("checksum"))
        # A path is opened as it is written: after a symbolic link, '..' is not what text alone makes of it.
        if files.setdefault(os.path.normpath(path), file) is not file:
            raise InputError(f"{here}: {path} occurs twice in one sample, keep it once")
    return tuple(files.values())


def _resolve(here: str, folder: Path, written: str, prefixes: Sequence[tuple[str, str]]) -> str:
    """Absolute path or URL of a file, given the folder of the data set file and what that writes."""
    path = next((new + written.removeprefix(old) for old, new in prefixes if written.startswith(old)), written)
    scheme = re.match("([A-Za-z][A-Za-z0-9+.-]*)://", path)
    if scheme is None:
        return str(folder / path)
    if scheme[1] not in ("root", "http", "https"):
        raise InputError(f"{here}: {path} is neither a local path nor a root:// or https:// address")
    return path
