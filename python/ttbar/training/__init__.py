"""Models of the jet assignment: training, evaluation, card."""
