"""python -m gcseg.eval: score a checkpoint."""

from gcseg.commands.eval import main

if __name__ == "__main__":
    main()
