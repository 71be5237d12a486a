"""The tables for the terminal, and the sentences computed from a run."""

from __future__ import annotations

import io

import pytest
from made_up import made_up_outcome, made_up_results
from rich.console import Console

from unstale.tools.lab.conclusions import conclusions, findings
from unstale.tools.lab.plan import VARIANTS
from unstale.tools.lab.results import Outcome, Requests, Results, figures
from unstale.tools.lab.table import notes, tables
from unstale.tools.wording import duration, less, listed, milliseconds


def shown(results: Results) -> str:
    """The tables as text, eighty columns wide."""
    console = Console(width=80, record=True, file=io.StringIO())
    for table in tables(results):
        console.print(table)
    return console.export_text()


def verdict(results: Results, about: str) -> tuple[str, str]:
    """Of one finding, with its text."""
    return next((one.verdict, one.text) for one in findings(results) if one.about == about)


def cheapened(results: Results, variant: str, factor: float) -> Results:
    """The same run, in which one variant's engine used another amount of CPU."""
    outcome = results.outcome(variant)
    assert outcome is not None
    outcome.idle_percent = 0.0
    outcome.samples = [
        type(one)(**{field: getattr(one, field) for field in one.__struct_fields__} | {"engine_seconds": factor})
        for one in outcome.samples
    ]
    return results


def test_every_row_fits_eighty_columns() -> None:
    """Both tables have a row for each variant, and nothing is cut off or wrapped."""
    lines = shown(made_up_results()).splitlines()
    assert max(len(line) for line in lines) <= 80
    for name in VARIANTS:
        assert sum(line.split()[:1] in ([name], [f"{name}*"]) for line in lines) == 2
    assert "…" not in "".join(lines)


def test_the_table_shows_the_figures() -> None:
    """A row has the figures that `results` computes."""
    results = made_up_results(("unstale",))
    one = figures(results.outcomes[0], results.plan)
    text = shown(results)
    assert f"{one.engine_percent:.1f}" in text
    assert f"{one.engine_us_per_action:,.0f}" in text


def test_what_is_missing_has_dashes_and_its_reason() -> None:
    """A failed variant and one that was never begun keep their rows, without figures."""
    results = made_up_results(("baseline", "unstale", "timestamps"), seconds=2)
    results.outcomes = [
        Outcome(variant="unstale", stands_for="", status="failed", reason="The port is in use."),
        made_up_outcome("baseline", results.plan),
    ]
    lines = [line.split() for line in shown(results).splitlines()]
    assert ["unstale*", "failed", *["–"] * 6] in lines
    assert ["timestamps", *["–"] * 7] in lines
    assert "unstale: failed: The port is in use." in notes(results)


def test_a_rate_that_was_not_held_is_noted() -> None:
    """The baseline's star is explained."""
    results = made_up_results(("baseline",))
    assert any(note.startswith("baseline: did not hold the offered rate") for note in notes(results))


def test_a_machine_that_could_not_offer_the_rate_is_noted() -> None:
    """Requests that the generator sent late, or never, are told apart from slow answers."""
    results = made_up_results(("unstale",), seconds=2)
    results.outcomes[0].requests.sent_late[0] = None
    assert any("could not offer the rate" in note for note in notes(results))
    assert "could not offer it to unstale" in " ".join(conclusions(results))


def test_every_question_is_answered_for_a_whole_run() -> None:
    """Of all variants, measured, nothing is left open."""
    found = findings(made_up_results())
    assert [one.about for one in found if one.verdict == "not measured"] == []
    assert len({one.about for one in found}) == len(found)


def test_a_question_without_its_variant_is_not_measured() -> None:
    """With unstale alone there is nothing to compare it with, and that is said of each comparison."""
    results = made_up_results(("unstale",))
    for about in ("unstale against the baseline", "unstale against time stamps", "unstale against known keys"):
        assert verdict(results, about)[0] == "not measured"
    assert verdict(results, "Stale answers of unstale")[0] == "met"


def test_what_is_left_open_is_one_sentence() -> None:
    """A run of one variant does not end in a list of a dozen things that it did not measure."""
    told = conclusions(made_up_results(("unstale",)))
    assert sum("Not measured: " in sentence for sentence in told) == 1
    assert told[-1].startswith("Not measured: The alarm; Scale up; ")


def test_a_comparison_below_the_rate_says_so() -> None:
    """Figures of a variant that was slower are of fewer actions, and that is said with them."""
    results = made_up_results(("timestamps", "unstale"))
    asked = results.outcomes[0].requests
    asked.took = [None if place % 2 else took for place, took in enumerate(asked.took)]
    assert "Not both held the rate" in verdict(results, "unstale against time stamps")[1]


def test_none_that_held_the_rate_are_named() -> None:
    """Where every variant was too slow, it is said of all of them."""
    assert verdict(made_up_results(("baseline",)), "The offered rate")[1].startswith("None held the offered 60")


def test_a_run_without_any_outcome_has_conclusions() -> None:
    """A run that was stopped at once says that nothing was measured."""
    results = made_up_results(("baseline",), seconds=2)
    results.outcomes = []
    assert {one.verdict for one in findings(results)} == {"not measured"}


@pytest.mark.parametrize(("engine_seconds", "expected"), [(0.00001, "met"), (0.016, "missed")])
def test_the_target_against_the_baseline_is_computed(engine_seconds: float, expected: str) -> None:
    """99.9 % less is met or missed by the figures alone; a miss says what would have been enough."""
    results = cheapened(made_up_results(("baseline", "unstale")), "unstale", engine_seconds)
    found, text = verdict(results, "unstale against the baseline")
    assert found == expected
    assert ("had to be at most" in text) == (expected == "missed")


@pytest.mark.parametrize(("engine_seconds", "expected"), [(0.001, "met"), (0.9, "missed")])
def test_the_target_against_timestamps_is_computed(engine_seconds: float, expected: str) -> None:
    """At or under time stamps, or over by so much."""
    results = cheapened(made_up_results(("timestamps", "unstale")), "unstale", engine_seconds)
    assert verdict(results, "unstale against time stamps")[0] == expected


@pytest.mark.parametrize(
    ("engine_seconds", "said"),
    [(0.001, "unstale costs the engine less than deleting"), (0.9, "costs the engine less than unstale")],
)
def test_known_keys_are_told_whichever_way_it_is(engine_seconds: float, said: str) -> None:
    """Nothing was claimed against known keys, so nothing is met or missed."""
    results = cheapened(made_up_results(("known-keys", "unstale")), "unstale", engine_seconds)
    found, text = verdict(results, "unstale against known keys")
    assert found == "told"
    assert said in text


def test_a_bigger_node_that_helps_is_said_to() -> None:
    """What the article did not see is reported as it came out."""
    results = made_up_results(("baseline", "bigger-node"))
    asked = results.outcomes[1].requests
    asked.took, asked.status = [0.01] * len(asked.due), [200] * len(asked.due)
    assert verdict(results, "Scale up")[0] == "missed"
    assert "unlike in the article" in verdict(results, "Scale up")[1]


def test_a_stale_answer_of_unstale_is_a_bug() -> None:
    """One is enough."""
    results = made_up_results(("unstale",))
    results.outcomes[0].requests.behind[5] = 1
    found, text = verdict(results, "Stale answers of unstale")
    assert found == "missed"
    assert "bug" in text


def test_no_stale_answer_without_actions_shows_nothing() -> None:
    """Where no action was completed, unstale's promise was not put to the test."""
    results = made_up_results(("unstale",))
    results.outcomes[0].requests.kind = [0] * len(results.outcomes[0].requests.kind)
    assert verdict(results, "Stale answers of unstale")[0] == "not measured"


def test_a_baseline_without_a_completed_action_cannot_be_compared() -> None:
    """No division by no action: the sentence says that there was none."""
    results = made_up_results(("baseline", "unstale"), seconds=2)
    asked = results.outcomes[0].requests
    asked.took = [None] * len(asked.took)
    found, text = verdict(results, "unstale against the baseline")
    assert found == "not measured"
    assert "the baseline completed none" in text


def test_none_seen_is_no_proof() -> None:
    """Of other schemes without stale answers it is said that this proves nothing."""
    results = made_up_results(("no-deletes", "unstale"))
    results.outcomes[0].requests.behind = [0] * len(results.outcomes[0].requests.behind)
    assert "proves nothing" in verdict(results, "Stale answers")[1]


def test_errors_are_told_with_their_reasons() -> None:
    """What went wrong is in the sentence, the most frequent reason first."""
    results = made_up_results(("unstale",), seconds=2)
    asked: Requests = results.outcomes[0].requests
    asked.status[0] = 500
    asked.reasons = {"timed out": 1, "HTTP 500": 7}
    assert "unstale 1 (HTTP 500: 7, timed out: 1)" in verdict(results, "Errors")[1]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (0.0999, 100.0, "99.90 % less"),
        (0.1001, 100.0, "99.89 % less"),
        (5.0, 100.0, "95.0 % less"),
        (62.0, 100.0, "38 % less"),
        (99.9, 100.0, "as much"),
        (100.0, 100.0, "as much"),
        (100.1, 100.0, "1 % more"),
        (250.0, 100.0, "2.5 times as much"),
    ],
)
def test_less_never_claims_too_much(ours: float, theirs: float, expected: str) -> None:
    """A gain is rounded down and a loss up."""
    assert less(ours, theirs) == expected


def test_figures_are_written_in_fitting_units() -> None:
    """Three figures, in the unit that suits them; what is missing is a dash."""
    assert [duration(one) for one in (0.5, 17.0, 412.4, 2345.0, 295_000.0, 11_600_000.0, None)] == [
        "0.50 µs", "17.0 µs", "412 µs", "2.35 ms", "295 ms", "11.6 s", "–",
    ]  # fmt: skip
    assert [milliseconds(one) for one in (0.0081, 11.615, None)] == ["8.1", "11,615", "–"]


def test_names_are_listed() -> None:
    """One, two, and three of them."""
    assert [listed(one) for one in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_few_reads_show_nothing() -> None:
    """Neither that a scheme serves no stale answers, nor that unstale keeps its promise, nor a hit rate."""
    results = made_up_results(("timestamps", "unstale"), seconds=1)
    for outcome in results.outcomes:
        outcome.requests.behind = [0] * len(outcome.requests.behind)
    assert "too few reads" in verdict(results, "Stale answers")[1]
    assert verdict(results, "Stale answers of unstale")[0] == "not measured"
    assert verdict(results, "Hit rate")[0] == "not measured"


def test_costs_that_are_alike_are_not_ranked() -> None:
    """Within a tenth of each other neither is said to be cheaper."""
    results = cheapened(cheapened(made_up_results(("unstale", "known-keys")), "unstale", 0.1), "known-keys", 0.1)
    first, second = results.outcomes
    first.requests = second.requests
    assert "about the same" in verdict(results, "unstale against known keys")[1]


def test_an_interrupted_step_is_no_ground_for_a_finding() -> None:
    """Its figures are shown with their mark; nothing follows from them."""
    results = made_up_results(("baseline", "unstale"))
    results.outcomes[1].status = "interrupted"
    assert verdict(results, "unstale against the baseline")[0] == "not measured"
    assert verdict(results, "Stale answers of unstale")[0] == "not measured"


def test_a_baseline_that_is_stuck_below_the_alarm_is_not_called_as_in_the_article() -> None:
    """It is said how much the engine was used, and that the application was busy too."""
    results = cheapened(made_up_results(("baseline",)), "baseline", 0.4)
    found, text = verdict(results, "The alarm")
    assert (found, "did not hold the rate, though the engine was below" in text) == ("told", True)
