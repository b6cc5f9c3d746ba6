"""All that starts from a file of histograms."""
