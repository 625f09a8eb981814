"""Counting in bounded memory: exact below the bound, close above it, and comparable across samples."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.audit_sketch import Budget, Distinct, HashSample, absent, groups, hash_text, shared

TEXTS = st.lists(st.text(max_size=4), max_size=80)


def _sample(texts: list[str]) -> HashSample:
    sample = Budget().sample()
    sample.add_counted(map(hash_text, texts))
    return sample


@given(TEXTS)
def test_distinct_is_exact_below_its_limit(texts: list[str]) -> None:
    distinct = Distinct()
    distinct.add(texts)
    assert (distinct.count, distinct.exact) == (len(set(texts)), True)


@given(TEXTS, TEXTS)
def test_distinct_does_not_depend_on_order_or_pages(first: list[str], second: list[str]) -> None:
    one, two = Distinct(limit=8), Distinct(limit=8)
    one.add(first + second)
    two.add(second)
    two.add(first)
    assert one.count == two.count


def test_distinct_above_its_limit_is_close_and_labelled() -> None:
    distinct = Distinct()
    for start in range(0, 300_000, 10_000):
        distinct.add(range(start, start + 10_000))
    assert not distinct.exact
    assert distinct.count == pytest.approx(300_000, rel=0.1)


@given(TEXTS)
def test_groups_are_exact_below_the_budget(texts: list[str]) -> None:
    repeated = [n for n in Counter(texts).values() if n > 1]
    assert groups(_sample(texts)) == (len(repeated), sum(repeated))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=30))
def test_shared_counts_keys_with_several_values(pairs: list[tuple[str, str]]) -> None:
    sample = Budget().sample()
    sample.add([(hash_text(a), hash_text(b)) for a, b in pairs])
    values = {key: {b for a, b in pairs if a == key} for key in {a for a, _ in pairs}}
    several = [len(v) for v in values.values() if len(v) > 1]
    assert shared(sample) == (len(several), sum(several))


@given(TEXTS, TEXTS, TEXTS)
def test_absent_is_exact_below_the_budget(references: list[str], one: list[str], two: list[str]) -> None:
    missing = Counter(r for r in references if r not in {*one, *two})
    assert absent(_sample(references), [_sample(one), _sample(two)]) == (missing.total(), len(missing))


def test_a_budget_bounds_all_samples_and_thins_the_largest() -> None:
    budget = Budget(limit=5_000)
    small, large = budget.sample(), budget.sample()
    small.add_counted(range(1_000))
    for start in range(0, 100_000, 1_000):
        large.add_counted(map(hash_text, map(str, range(start, start + 1_000))))
        budget.enforce()
        assert len(small) + len(large) <= 5_000
    assert small.exact
    assert not large.exact


def test_orphans_are_counted_right_across_samples_of_different_levels() -> None:
    """Half of the references lead nowhere, whatever was forgotten on either side."""
    budget = Budget(limit=8_000)
    ids, references = budget.sample(), budget.sample()
    for start in range(0, 50_000, 5_000):
        ids.add_counted(hash_text(str(n)) for n in range(start, start + 5_000))
        references.add_counted(hash_text(str(2 * n)) for n in range(start, start + 5_000))
        budget.enforce()
    times, different = absent(references, [ids])
    assert times == different == pytest.approx(25_000, rel=0.15)


def test_duplicates_above_the_budget_are_close() -> None:
    budget = Budget(limit=10_000)
    sample = budget.sample()
    for record in range(0, 60_000, 1_000):
        sample.add([(hash_text(str(n // 2)), n) for n in range(record, record + 1_000)])
        budget.enforce()
    number, records = shared(sample)
    assert number == pytest.approx(30_000, rel=0.1)
    assert records == 2 * number
