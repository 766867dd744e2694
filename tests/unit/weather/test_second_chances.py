"""The taxonomy of faults as data: closed, and fair."""

from weather import faults
from weather.faults import Fault, MinerFault, PlatformFault, PolicyRefusal, SourceFault, tree
from weather.second_chances import TABLE, effect_of, second_chance

CARRIED_BY_NONE = """ConfigurationInvalid PrerequisiteMissing InterventionRefused LedgerConflict ChildStillOpen
SinkUnavailable RunTerminated NothingToPublish WeightsNotPublished"""
NO_SCORE_CARRIES = set(CARRIED_BY_NONE.split())
ROOTS = {kind.__name__ for kind in (Fault, MinerFault, PolicyRefusal, SourceFault, PlatformFault)}


def test_each_code_of_the_tree_is_in_the_table_or_carried_by_no_score():
    """AT-F4."""
    codes = {code for row in TABLE for code in row.codes}
    assert codes | NO_SCORE_CARRIES | ROOTS == set(tree())
    assert not codes & NO_SCORE_CARRIES


def test_a_code_has_one_row_in_each_phase():
    """AT-F4."""
    pairs = [(code, phase) for row in TABLE for code in row.codes for phase in row.phases]
    assert len(pairs) == len(set(pairs))
    assert second_chance("MinerTimeout", "commit") is not second_chance("MinerTimeout", "transfer")
    assert second_chance("NoCommitment", "transfer") is None


def test_only_miner_and_policy_cost_points_and_an_operator_costs_nobody():
    for row in TABLE:
        for code in row.codes:
            costs = tree()[code].cause in ("miner", "policy") and code != "VoidedByOperator"
            assert (row.effect == "W") is costs is (effect_of(code) == "W")
    assert {effect_of(code) for code in NO_SCORE_CARRIES} == {"V"}


def test_what_nothing_can_help_is_not_tried_again():
    for row in TABLE:
        if row.automatic == "nothing" and "rerun" in row.verbs:
            assert not any(tree()[code].retryable for code in row.codes)


def test_each_class_of_the_tree_stands_under_its_own_name():
    assert {name: getattr(faults, name) for name in tree()} == tree()
