"""python -m gcseg.report: write an HTML report on a training or on a sweep's trainings."""

from gcseg.commands.report import main

if __name__ == "__main__":
    main()
