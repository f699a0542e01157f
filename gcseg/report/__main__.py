"""python -m gcseg.report: an HTML file on a training, or on the trainings of a sweep."""

from gcseg.commands.report import main

if __name__ == "__main__":
    main()
