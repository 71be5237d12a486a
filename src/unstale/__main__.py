"""`python -m unstale`: the command `unstale`, where no script of that name is on PATH."""

from unstale.tools.cli import main

if __name__ == "__main__":
    main()
