"""The family of errors: one line each, all of them at once."""

import pytest

from slipway.contract.problems import DocumentError, Problem, SlipwayError, in_brief


def test_an_error_has_one_line_per_problem_in_the_familys_form() -> None:
    error = SlipwayError([Problem("a", "b", "c"), Problem("d\n  d", "e", "f")])
    assert str(error).splitlines() == ["slipway: error: a — b — c", "slipway: error: d d — e — f"]


def test_one_problem_needs_no_list_and_its_parts_are_enough() -> None:
    problem = Problem("a", "b", "c", evidence=("proof",))
    assert SlipwayError(problem).problems == SlipwayError("a", "b", "c", ["proof"]).problems == (problem,)


def test_a_part_that_is_empty_leaves_no_gap() -> None:
    assert str(SlipwayError("a", "", "c")) == "slipway: error: a — c"


def test_evidence_is_that_of_all_problems_and_grows_where_more_is_known() -> None:
    error = SlipwayError([Problem("a", "b", "c", evidence=("1",)), Problem("d", "e", "f", evidence=("2",))])
    error.add_evidence(["3"])
    assert error.evidence == ("1", "2", "3")
    assert error.what == "a; d"


def test_a_problem_survives_the_way_through_a_document_without_its_evidence() -> None:
    problem = Problem("a", "b", "c", code="no-engine", subject="web", evidence=("a log line",))
    assert Problem.from_json(problem.to_json()) == problem._replace(evidence=())
    assert Problem("a", "b", "c").to_json() == {"what": "a", "meaning": "b", "fix": "c"}


def test_a_problem_of_a_host_says_which_and_keeps_what_it_is_about() -> None:
    assert Problem("a", "b", "c").on("web-1") == Problem("host web-1: a", "b", "c", subject="web-1")
    assert Problem("a", "b", "c", subject="api").on("web-1").subject == "api"


def test_a_document_or_command_that_is_not_the_agents_ends_with_another_exit_code() -> None:
    assert (SlipwayError("a", "b", "c").exit_code, DocumentError("a", "b", "c").exit_code) == (1, 2)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("", ""),
        (" \n\n", ""),
        ("one\n", "one"),
        ("first\n\n  the \t reason\n\n", "first the reason"),
        ("long before that\nthe very reason", "the very reason"),
        ("a reason longer than twenty\nsee x", "a reason lon … see x"),
        ("a reason longer than twenty characters", "a reason longer th …"),
        ("before\na reason longer than twenty characters\n", "a reason longer th …"),
    ],
)
def test_a_programs_last_words_are_cut_at_the_end_and_never_in_the_middle_of_the_reason(output: str, said: str) -> None:
    assert in_brief(output, 20) == said
