"""From a data set file to checked files."""
