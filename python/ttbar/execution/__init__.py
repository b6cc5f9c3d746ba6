"""From checked files to the results of the event loop."""
