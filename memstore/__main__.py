"""`python -m memstore`; also `python path/to/memstore`, which needs neither an installation nor the right current folder."""

import sys

if not __package__:  # run as a folder: Python put the folder itself on the path, where the package needs the one above it
    from os.path import abspath, dirname

    sys.path[0] = dirname(dirname(abspath(__file__)))

from memstore.cli import main

if __name__ == "__main__":
    sys.exit(main())
