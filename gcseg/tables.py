"""python -m gcseg.tables: the tables of published and measured results."""

from gcseg.commands.tables import main

if __name__ == "__main__":
    main()
