import pytest

from boostqa.blend import Part, blend, one_more, summary
from boostqa.config import Component, Mix


def parts(there, budget=None, **conf):
    mix = Mix(**conf)
    return {(p.component, p.cell): p for p in blend(mix, budget or {}, there)}


def of(component, cell, *figures):
    return Part(component, cell, *figures)


def test_cells_get_their_part_of_the_budget_and_a_short_one_leaves_its_tokens_to_the_others():
    there = {("synthesized", "0541/H4"): 60, ("synthesized", "0541/H1"): 100, ("synthesized", "0222/H1"): 50}
    found = parts(there, {"0541/H4": 300, "0541/H1": 100}, tokens=120)
    assert found["synthesized", "0541/H4"] == of("synthesized", "0541/H4", 90, 60, 60)
    assert found["synthesized", "0541/H1"] == of("synthesized", "0541/H1", 30, 100, 60)  # before a cell without budget
    assert found["synthesized", "0222/H1"].taken == 0


def test_new_documents_come_before_repeats_and_none_more_often_than_it_may():
    there = {("synthesized", "0541/H4"): 60, ("synthesized", "0222/H1"): 40}
    budget = {"0541/H4": 1}
    once, more, most = (parts(there, budget, tokens=n) for n in (90, 150, 1000))
    assert [p.taken for p in once.values()] == [30, 60]
    assert [(p.taken, p.passes, p.rest) for p in more.values()] == [(40, 1, 0), (110, 1, 50)]
    assert [(p.taken, p.passes, p.rest) for p in most.values()] == [(160, 4, 0), (240, 4, 0)]
    assert [p.taken for p in parts(there, budget, tokens=1000, passes=1).values()] == [40, 60]


def test_components_get_tokens_first_then_by_weight_and_repeat_before_another_gets_more():
    there = {("long", "0541/H4"): 500, ("short", "0541/H4"): 500, ("seeds", "0541/H4"): 20, ("seeds", ""): 10}
    components = [
        Component(name="long", reasoning="long", tokens=100),
        Component(name="short", reasoning="short", weight=3),
        Component(name="seeds", of="seeds", weight=1, passes=2),
    ]
    found = parts(there, {"0541/H4": 7}, tokens=500, components=components)
    # short 300 and seeds 100, which have 30 twice: the 40 that they are short of go to the others by what these ask for
    assert [(p.component, p.cell, p.asked, p.taken) for p in found.values()] == [
        ("long", "0541/H4", 100, 110),
        ("short", "0541/H4", 300, 330),
        ("seeds", "", 33, 20),
        ("seeds", "0541/H4", 67, 40),
    ]
    told = summary(found.values())
    assert told["seeds"] == {"asked": 100, "there": 30, "taken": 60, "short": {"": 13, "0541/H4": 27}}
    assert told["long"]["short"] == {}


def test_cells_of_a_component_have_tokens_of_their_own_or_a_weight_on_their_part():
    there = {("synthesized", f"0541/H{n}"): 1000 for n in (1, 2, 3)}
    cells = {"0541/H1": {"tokens": 50}, "0541/H2": {"weight": 4.0}}
    components = [Component(name="synthesized", cells=cells)]
    found = parts(there, {"0541/H2": 100, "0541/H3": 400}, tokens=450, components=components)
    assert [p.taken for p in found.values()] == [50, 200, 200]


def test_component_of_which_nothing_is_there_is_told_as_short_and_others_take_its_part():
    components = [Component(name="made"), Component(name="web", of="corpus", source={"name": "w", "path": "p"})]
    found = parts({("made", "0541/H4"): 100}, {"0541/H4": 1}, tokens=80, components=components)
    assert found["web", ""] == of("web", "", 40, 0, 0) and found["made", "0541/H4"].taken == 80


@pytest.mark.parametrize("tokens", [1, 99, 1234, 10**11])
def test_what_is_taken_sums_to_the_total_or_to_all_that_there_may_be(tokens):
    there = {("synthesized", f"054{i}/H{n}"): 10 ** (i + n) + n for i in range(3) for n in (1, 2, 3, 4, 5)}
    taken = sum(p.taken for p in parts(there, {"0541/H1": 5, "0540/H5": 1}, tokens=tokens).values())
    assert taken == min(tokens, 4 * sum(there.values()))


def test_documents_that_do_not_fit_into_their_parts_fill_the_total_to_within_one():
    documents = {"b": 7, "a": 5, "c": 4}
    assert one_more(10, documents) == {"a", "c"}  # 1 is missing
    assert one_more(0, documents) == one_more(3, documents) == set()
