"""Samplers of what waits outside any server: the files of the option `queue`. They look when they are asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from unstale.contrib.instruments import QUEUE_SIZE, Reading, Sampler


def queues(*paths: str | os.PathLike[str]) -> Sampler:
    """How many bytes wait in queue files: 0 where nothing does, or there is no file yet.

    A file that this process may not look at has no figure.

    Args:
        paths: what caches have as their option `queue`; the label `queue` is the file's name.
    """
    files = tuple(dict.fromkeys(map(Path, paths)))

    def look() -> Iterator[Reading]:
        for file in files:
            try:
                size = file.stat().st_size
            except FileNotFoundError:
                size = 0
            except OSError:
                continue
            yield Reading(QUEUE_SIZE, (file.name,), size)

    return look
