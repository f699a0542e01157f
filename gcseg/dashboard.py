"""python -m gcseg.dashboard: workspace and report of a Weights & Biases project, as code."""

from gcseg.commands.dashboard import main

if __name__ == "__main__":
    main()
