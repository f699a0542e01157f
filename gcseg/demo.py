"""python -m gcseg.demo: a page in the browser to try a trained network on pictures and videos."""

from gcseg.commands.demo import main

if __name__ == "__main__":
    main()
