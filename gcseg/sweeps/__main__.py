"""python -m gcseg.sweeps: list sweeps, show a running one, compare two settings."""

from gcseg.commands.sweeps import main

if __name__ == "__main__":
    main()
