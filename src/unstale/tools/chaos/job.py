"""What a worker is told: a JSON file. Nothing is started and nothing is read here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from unstale.tools.chaos.plan import Mode, Work
from unstale.tools.chaos.subject import Place

Kind = Literal["reader", "writer", "replica", "settler"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that one process of a phase does.

    Attributes:
        kind: reader, writer, replica: copies rows late; settler: carries out what is queued, then reads every key.
        number: among its kind; one that was killed is followed by one with another number.
        subject: what caches, as `subject.maker` takes it.
        place: where.
        folder: of the phase: records and errors go there.
        seed: of the phase.
        mode: threads, or tasks of one event loop.
        work: see `plan.Work`.
        threads: threads or tasks.
        per_second: reads or writes of this process; 0: as fast as they go.
        lives: seconds after which a writer kills itself, the shortest and the longest, where writers are killed.
        load_seconds: the shortest and the longest time of a load beyond its query.
        lag_seconds: how far behind the database's replica may be; 0: there is none.
    """

    kind: Kind
    number: int
    subject: str
    place: Place
    folder: str
    seed: int
    mode: Mode = "threads"
    work: tuple[Work, ...] = ()
    threads: int = 1
    per_second: float = 0.0
    lives: tuple[float, float] = (0.0, 0.0)
    load_seconds: tuple[float, float] = (0.0, 0.0)
    lag_seconds: float = 0.0

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.kind}-{self.number}"

    @property
    def reads_file(self) -> Path:
        """Where its reads go."""
        return Path(self.folder, f"{self.name}.reads")

    @property
    def writes_file(self) -> Path:
        """Where its writes go."""
        return Path(self.folder, f"{self.name}.writes")

    @property
    def errors_file(self) -> Path:
        """Where it says what has raised."""
        return Path(self.folder, f"{self.name}.errors")


def write_job(job: Job) -> Path:
    """Write what a worker is to be told; the file."""
    path = Path(job.folder, f"{job.name}.json")
    path.write_bytes(msgspec.json.encode(job))
    path.chmod(0o600)  # URLs may have passwords
    return path


def read_job(path: Path) -> Job:
    """What `write_job` wrote. Raises OSError or msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=Job)
