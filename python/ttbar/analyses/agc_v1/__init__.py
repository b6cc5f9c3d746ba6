"""The first task of the Analysis Grand Challenge."""
