"""How every part of the command speaks: to where, and what it says of what cannot be done."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

from unstale.errors import UnstaleError
from unstale.tools.cli.status import CANNOT, STOPPED, UNHEARD


class Terminal(Console):
    """A console that ends the command in silence where nobody reads it any more."""

    def on_broken_pipe(self) -> NoReturn:
        """As other commands do."""
        _leave_unheard()


def _leave_unheard() -> NoReturn:
    """End, and let nothing that is still to be written fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(UNHEARD)


console = Terminal(highlight=False)
errors = Terminal(stderr=True, highlight=False)


@contextmanager
def told(what: str = "The folder of the results") -> Iterator[None]:
    """What cannot be done is told in a sentence, not in a traceback.

    Args:
        what: what cannot be written where a full disk does not say which file.
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print("Stopped.")
        raise typer.Exit(STOPPED) from None
    except UnstaleError as error:
        fail(str(error))
    except BrokenPipeError:
        _leave_unheard()
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        fail(f"{error.filename or what} cannot be written: {error.strerror}.")


def fail(message: str) -> NoReturn:
    """Say why it cannot be done, and end with that exit status."""
    errors.print(message, style="red", soft_wrap=True, markup=False)
    raise typer.Exit(CANNOT)
