"""`python -m starter` is the command `barograph`."""

from starter.cli import main

if __name__ == "__main__":
    main()
