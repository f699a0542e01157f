"""python -m gcseg.submit: the archive that a dataset's test server takes."""

from gcseg.commands.submit import main

if __name__ == "__main__":
    main()
