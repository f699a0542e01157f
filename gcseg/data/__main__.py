"""python -m gcseg.data: prepare, check, stats, browse and benchmark."""

from gcseg.commands.data import main

if __name__ == "__main__":
    main()
