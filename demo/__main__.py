"""`python -m demo`. Client processes import this file too, so everything else is imported only where it is run."""

import sys

if __name__ == "__main__":
    from demo.cli import main

    sys.exit(main())
