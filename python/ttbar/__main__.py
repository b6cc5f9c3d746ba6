"""Entry point of `python -m ttbar`."""

from ttbar.cli import main

if __name__ == "__main__":
    main()
