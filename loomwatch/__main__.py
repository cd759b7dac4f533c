"""`python -m loomwatch`, the same as the command `loomwatch`."""

from loomwatch.cli import main

if __name__ == "__main__":
    main()
