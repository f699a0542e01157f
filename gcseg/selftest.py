"""python -m gcseg.selftest: prove on this machine what the documentation promises."""

import sys

from gcseg.commands.selftest import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
