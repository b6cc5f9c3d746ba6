"""All that starts from a file of histograms."""

import ttbar.lean_jsonschema  # noqa: F401, for its effect: cabinetry and pyhf would import all of jsonschema
