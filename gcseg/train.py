"""python -m gcseg.train: train, then score the best checkpoint."""

from gcseg.commands.train import main

if __name__ == "__main__":
    main()
