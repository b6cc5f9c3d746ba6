"""What is measured: an analysis is a value that the machinery is given."""
