"""python -m gcseg.verify: the scores of a published network, reproduced."""

from gcseg.commands.verify import main

if __name__ == "__main__":
    main()
