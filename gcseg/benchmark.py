"""python -m gcseg.benchmark: speed, memory and scores of a network and its exports."""

from gcseg.commands.benchmark import main

if __name__ == "__main__":
    main()
