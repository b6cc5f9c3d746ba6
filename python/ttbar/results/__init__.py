"""All that starts from a file of histograms."""

from ttbar.libraries import jsonschema  # before cabinetry and pyhf, which would import all of it

__all__ = ["jsonschema"]
