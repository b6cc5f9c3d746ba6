"""The jobs that go through all stages."""
