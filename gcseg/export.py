"""python -m gcseg.export: a trained network in another program's format, with proof."""

from gcseg.commands.export import main

if __name__ == "__main__":
    main()
