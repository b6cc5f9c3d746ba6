#!/usr/bin/env python3
"""Run the analysis from a checkout: the same as `ttbar run`."""

import sys

if __name__ == "__main__":
    try:
        from ttbar.__main__ import main
    except ImportError as error:
        print(f"error: {error}: run 'make setup' once, then '.venv/bin/python run_analysis.py'", file=sys.stderr)
        sys.exit(4)
    main(["run", *sys.argv[1:]])
