"""The rules, one module each. A rule says where; beside it stands what people are told, and examples."""

from __future__ import annotations

from typing import Final

from unstale.tools.audit.rules import (
    before_commit,
    clear_all,
    counter_version,
    fill_race,
    key_from_input,
    keyspace_walk,
    no_timeout,
    pattern_delete,
    time_stamp_version,
    unsigned_pickle,
    user_data_shared,
)
from unstale.tools.audit.rules.base import Hit, Rule

RULES: Final[dict[str, Rule]] = {
    module.RULE.id: module.RULE
    for module in (
        pattern_delete, keyspace_walk, clear_all, before_commit, fill_race, time_stamp_version, counter_version,
        unsigned_pickle, no_timeout, key_from_input, user_data_shared,
    )
}  # fmt: skip

__all__ = ["RULES", "Hit", "Rule"]
