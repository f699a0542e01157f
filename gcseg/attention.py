"""python -m gcseg.attention: where the context block of a checkpoint looks."""

from gcseg.commands.attention import main

if __name__ == "__main__":
    main()
