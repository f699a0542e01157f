"""python -m gcseg.weights: list published checkpoints, say what a file holds, convert it."""

from gcseg.commands.weights import main

if __name__ == "__main__":
    main()
