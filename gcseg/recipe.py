"""python -m gcseg.recipe diff A B: the settings in which two recipes differ."""

from gcseg.commands.recipe import main

if __name__ == "__main__":
    main()
