"""python -m gcseg.publish: a finished run as a folder for others."""

from gcseg.commands.publish import main

if __name__ == "__main__":
    main()
