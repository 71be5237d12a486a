"""The judge, on histories made by hand: each count in one that has it, and in the nearest one that has not."""

from __future__ import annotations

import pytest

from unstale.tools.chaos.judge import EXAMPLES, Counts, Floor, History, Promise, Within, judge, other_key
from unstale.tools.chaos.record import Effect, Read, Source, Strike, Write
from unstale.tools.chaos.rows import NEVER

ROWS = 4
SECOND = 1_000_000_000


def read(key: int, began: int, version: int, source: Source = Source.CACHE, row: int | None = None) -> Read:
    """A read that took ten nanoseconds."""
    return Read(key, began, began + 10, source, key % ROWS if row is None else row, version)


def write(row: int, version: int, committed: int, ended: int, effect: Effect = Effect.EFFECTIVE) -> Write:
    """A write that began ten nanoseconds before it was committed."""
    return Write(row, version, committed - 10, committed, ended, effect)


NOTHING_MORE = Promise()
FIRST = write(0, 2, 100, 200)
"""Row 0 has version 2: committed at 100, its invalidation effective at 200."""


def judged(
    *reads: Read,
    writes: tuple[Write, ...] = (FIRST,),
    final: tuple[Read, ...] = (),
    strikes: tuple[Strike, ...] = (),
    promise: Promise = NOTHING_MORE,
    newest: int = 9,
) -> Counts:
    """What the judge says; all rows of the database end with the same version."""
    return judge(History(ROWS, reads, writes, final, [newest] * ROWS, strikes), promise)


def faults(counts: Counts) -> dict[str, int]:
    """The counts that must be 0, without those that are."""
    names = ("stale", "older_than_visible", "lost", "wrong", "phantom", "errors")
    return {name: getattr(counts, name) for name in names if getattr(counts, name)}


def test_what_was_invalidated_before_the_read_began_is_stale() -> None:
    """The old version, from the cache, in a read that began when the invalidation had returned."""
    counts = judged(read(0, 200, 1))
    assert (counts.stale, counts.hits) == (1, 1)


@pytest.mark.parametrize(
    "fresh",
    [
        read(0, 199, 1),
        read(0, 200, 2),
        read(0, 200, 3),
        read(0, 200, 1, Source.LOADER),
        read(1, 200, 1),
    ],
    ids=["began before", "the newest", "newer still", "loaded", "another row"],
)
def test_what_is_not_stale(fresh: Read) -> None:
    """Each differs from the stale read in one thing."""
    assert judged(fresh).stale == 0


def test_a_key_of_another_kind_is_judged_by_its_row() -> None:
    """Key 4 of 4 rows is of row 0."""
    assert judged(read(ROWS, 200, 1)).stale == 1


@pytest.mark.parametrize("effect", Effect)
def test_only_what_is_in_effect_raises_the_floor(effect: Effect) -> None:
    """A write that was queued, raised, was rolled back or died promises nothing of now."""
    counts = judged(read(0, 200, 1), writes=(write(0, 2, 100, 200, effect),))
    assert counts.stale == (effect in {Effect.EFFECTIVE, Effect.STRICT})


def test_a_floor_never_falls() -> None:
    """Version 3 was invalidated before version 2 was: between the two and afterwards, 2 is stale."""
    writes = (write(0, 2, 100, 300), write(0, 3, 150, 200))
    assert [judged(read(0, moment, 2), writes=writes).stale for moment in (199, 200, 300, 400)] == [0, 1, 1, 1]


def test_how_long_it_was_stale_is_counted_from_the_first_invalidation_that_it_missed() -> None:
    """Version 1 was stale from 200 on, whatever came later."""
    counts = judged(read(0, SECOND + 200, 1), writes=(FIRST, write(0, 3, 400, 500)))
    assert counts.stalest_seconds == pytest.approx(1.0)


STRUCK = Strike("demoted", 1 * SECOND, 2 * SECOND, "")
GRACE = Promise(grace_seconds=1.0)


@pytest.mark.parametrize(
    ("began", "stale"), [(SECOND - 1, 1), (SECOND, 0), (2 * SECOND, 0), (3 * SECOND, 0), (3 * SECOND + 1, 1)]
)
def test_within_a_grace_nothing_is_judged(began: int, stale: int) -> None:
    """From the fault's beginning until the grace after it is over."""
    counts = judged(read(0, began, 1), strikes=(STRUCK,), promise=GRACE)
    assert (counts.stale, counts.not_judged) == (stale, 1 - stale)


@pytest.mark.parametrize(("promise", "stale"), [(NOTHING_MORE, 1), (GRACE._replace(graced=("other",)), 1), (GRACE, 0)])
def test_a_grace_is_that_of_its_faults(promise: Promise, stale: int) -> None:
    """A phase without a grace, or with one for other faults, judges all."""
    assert judged(read(0, 2 * SECOND, 1), strikes=(STRUCK,), promise=promise).stale == stale


def test_a_grace_covers_only_staleness() -> None:
    """A wrong key, a phantom and an error stay what they are."""
    reads = (read(0, SECOND, 1, row=1), read(0, SECOND, 10), read(0, SECOND, -1, Source.ERROR))
    assert faults(judged(*reads, strikes=(STRUCK,), promise=GRACE)) == {"wrong": 1, "phantom": 1, "errors": 1}


@pytest.mark.parametrize(("began", "older"), [(99, 0), (100, 1)])
def test_what_is_older_than_a_visible_commit(began: int, older: int) -> None:
    """Between COMMIT and the invalidation's return it is older than visible, and not stale."""
    counts = judged(read(0, began, 1))
    assert (counts.older_than_visible, counts.stale) == (older, 0)


def test_a_commit_whose_process_died_is_visible() -> None:
    """Strict mode promises it as well."""
    assert judged(read(0, 100, 1), writes=(write(0, 2, 100, 0, Effect.UNKNOWN),)).older_than_visible == 1


def test_what_was_never_committed_is_not_visible() -> None:
    """A transaction that was rolled back has no moment of commit."""
    rolled_back = Write(0, 2 + NEVER, 90, 0, 0, Effect.ROLLED_BACK)
    counts = judged(read(0, 100, 1), writes=(rolled_back,))
    assert (faults(counts), counts.writes) == ({}, 0)


LOST = (read(0, SECOND, 1),)


@pytest.mark.parametrize(
    ("effect", "outbox", "lost"),
    [
        (Effect.EFFECTIVE, False, 1),
        (Effect.STRICT, False, 1),
        (Effect.QUEUED, False, 1),
        (Effect.UNKNOWN, True, 1),
        (Effect.UNKNOWN, False, 0),
        (Effect.RAISED, True, 0),
    ],
)
def test_what_is_promised_at_the_end(effect: Effect, *, outbox: bool, lost: int) -> None:
    """What was queued is carried out by then; with an outbox, also what a killed process owed."""
    counts = judged(writes=(write(0, 2, 100, 200, effect),), final=LOST, promise=Promise(outbox=outbox))
    assert (counts.lost, counts.final_reads) == (lost, 1)


def test_at_the_end_nothing_loaded_is_lost() -> None:
    """A miss at the end is what an invalidation is to bring about."""
    assert judged(final=(read(0, SECOND, 1, Source.LOADER),)).lost == 0


def test_a_version_that_became_anothers_is_promised_as_that_one() -> None:
    """A process died before its COMMIT; who wrote the version instead was told that nothing is promised."""
    writes = (Write(0, 2, 50, 0, 0, Effect.UNKNOWN), write(0, 2, 100, 0, Effect.RAISED))
    assert judged(writes=writes, final=LOST, promise=Promise(outbox=True)).lost == 0


def test_a_version_that_the_database_has_not_is_not_promised() -> None:
    """A process died before its COMMIT, and nobody wrote that row again."""
    writes = (Write(0, 2, 50, 0, 0, Effect.UNKNOWN),)
    assert judged(writes=writes, final=LOST, promise=Promise(outbox=True), newest=1).lost == 0


@pytest.mark.parametrize("source", [Source.CACHE, Source.LOADER])
def test_an_answer_for_another_row_is_wrong(source: Source) -> None:
    """Whoever gave it."""
    assert faults(judged(read(0, 50, 1, source, row=1))) == {"wrong": 1}


def test_an_answer_for_another_key_is_wrong() -> None:
    """Also one of the same row."""
    counts = judged(read(0, 50, 1, row=other_key(ROWS)))
    assert faults(counts) == {"wrong": 1}
    assert f"it is of key {ROWS}" in counts.examples["wrong"][0]


@pytest.mark.parametrize("version", [0, 10, 2 + NEVER])
def test_what_the_database_never_had_is_a_phantom(version: int) -> None:
    """Below the first version, above the last, or of a write that was rolled back."""
    assert faults(judged(read(1, 50, version))) == {"phantom": 1}


@pytest.mark.parametrize("version", [1, 9])
def test_what_the_database_has_had_is_no_phantom(version: int) -> None:
    """The first version and the last."""
    assert faults(judged(read(1, 50, version))) == {}


@pytest.mark.parametrize(("began", "phantoms"), [(79, 1), (80, 0)])
def test_a_version_before_its_time_is_a_phantom(began: int, phantoms: int) -> None:
    """Version 2 was begun at 90: a read that had ended before cannot have it."""
    assert judged(read(0, began, 2)).phantom == phantoms


def test_a_version_begun_twice_counts_from_the_first_time() -> None:
    """The one who began it first died before its COMMIT, or did not: nobody knows."""
    writes = (write(0, 2, 100, 200), Write(0, 2, 10, 0, 0, Effect.UNKNOWN))
    assert judged(read(0, 50, 2), writes=writes).phantom == 0


def test_an_error_is_counted_and_a_cancelled_read_is_none() -> None:
    """Neither is a hit or a load."""
    counts = judged(read(0, 50, -1, Source.ERROR, -1), read(0, 50, -1, Source.CANCELLED, -1))
    assert (faults(counts), counts.cancelled, counts.reads, counts.hit_rate) == ({"errors": 1}, 1, 2, None)


def test_an_error_at_the_end_counts_too() -> None:
    """All is healed by then."""
    assert faults(judged(final=(read(0, SECOND, -1, Source.ERROR, -1),))) == {"errors": 1}


def test_the_hit_rate_is_also_that_of_calm_times() -> None:
    """Within a fault and shortly after it, misses are its own."""
    reads = [read(0, moment, 2, source) for moment in (0, 2 * SECOND) for source in (Source.CACHE, Source.LOADER)]
    reads[2] = read(0, 2 * SECOND, 2, Source.LOADER)
    reads[0] = read(0, 300, 2)
    counts = judged(*reads, read(0, 9 * SECOND, 2), strikes=(STRUCK,))
    assert (counts.hit_rate, counts.calm_hit_rate) == (2 / 5, 2 / 3)


def test_the_first_few_of_each_kind_are_told() -> None:
    """With the fault that came before."""
    counts = judged(*[read(0, 3 * SECOND, 1)] * (EXAMPLES + 1), strikes=(STRUCK,))
    assert counts.stale == EXAMPLES + 1
    assert len(counts.examples["stale"]) == EXAMPLES
    assert counts.examples["stale"][0].endswith("1.000 s after demoted")


def test_effects_and_strikes_are_counted_by_name() -> None:
    """All writes, whatever became of them."""
    counts = judged(writes=(FIRST, write(1, 2, 100, 0, Effect.RAISED)), strikes=(STRUCK, STRUCK))
    assert (counts.effects, counts.strikes, counts.writes) == ({"EFFECTIVE": 1, "RAISED": 1}, {"demoted": 2}, 2)


def test_spans_that_overlap_are_one() -> None:
    """Also one within another."""
    within = Within([(10, 20), (15, 18), (20, 30), (40, 40)])
    assert [moment for moment in range(50) if moment in within] == [*range(10, 31), 40]


def test_a_floor_says_when_a_version_was_passed() -> None:
    """The moment of the first newer version, not of the newest."""
    floor = Floor([(300, 5), (100, 2), (200, 3)])
    assert [floor.passed(version) for version in (1, 2, 3, 4)] == [100, 200, 300, 300]
