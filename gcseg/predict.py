"""python -m gcseg.predict: pictures and index masks from a checkpoint."""

from gcseg.commands.predict import main

if __name__ == "__main__":
    main()
