"""python -m gcseg.sweeps: list sweeps, show one as it runs, compare two settings."""

from gcseg.commands.sweeps import main

if __name__ == "__main__":
    main()
