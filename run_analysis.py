#!/usr/bin/env python3
"""Run the analysis from a checkout: the same as `ttbar run`."""

import sys

if __name__ == "__main__":
    try:
        from ttbar.cli import main
    except ImportError as error:
        sys.exit(f"error: {error}: run 'make setup' once, then '.venv/bin/python run_analysis.py'")
    main(["run", *sys.argv[1:]])
