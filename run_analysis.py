#!/usr/bin/env python3
"""Run the analysis from a checkout: the same as `ttbar run`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file: what else is there is no module of the program
    try:
        from ttbar.__main__ import main
    except ImportError as error:
        print(f"error: {error}: run 'make setup' once, then '.venv/bin/python run_analysis.py'", file=sys.stderr)
        sys.exit(4)
    main(["run", *sys.argv[1:]])
