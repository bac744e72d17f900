"""Edits of captions."""

from __future__ import annotations

from itertools import islice

import pytest

from ldmlab.editing.prompts.alignment import word_changes
from ldmlab.worlds.shapes.scene_edits import KINDS, SceneEdit, scene_edits


def some(kind: str, count: int = 200, seed: int = 0) -> list[SceneEdit]:
    return list(islice(scene_edits(kind, seed), count))


@pytest.mark.parametrize("kind", KINDS)
def test_edits_are_the_same_under_the_same_seed_and_differ_under_another(kind: str) -> None:
    assert some(kind) == some(kind)
    assert some(kind, seed=1) != some(kind)


def kinds_of_change(edit: SceneEdit) -> list[str]:
    return [change.kind for change in word_changes(edit.source.split(), edit.target.split()) if change.kind != "keep"]


def test_a_swap_changes_one_word_and_perhaps_its_article() -> None:
    for edit in some("swap"):
        assert set(kinds_of_change(edit)) == {"swap"}
        assert edit.wanted is not None
        assert edit.wanted in edit.target.split()
        assert len(edit.source.split()) == len(edit.target.split())
        assert edit.asked["objects"][edit.item][edit.attribute] != edit.wanted
    assert {edit.attribute for edit in some("swap")} == {"shape", "colour", "size"}


def test_a_swap_leaves_no_two_objects_of_one_colour_and_shape() -> None:
    for edit in some("swap", 500):
        objects = [dict(thing) for thing in edit.asked["objects"]]
        objects[edit.item][edit.attribute] = edit.wanted
        assert len({(thing["colour"], thing["shape"]) for thing in objects}) == len(objects)


def test_an_insertion_says_a_size_that_was_left_open() -> None:
    for edit in some("insert"):
        assert edit.asked["objects"][edit.item]["size"] is None
        assert len(edit.target.split()) == len(edit.source.split()) + 1
        assert f"{edit.wanted} {edit.asked['objects'][edit.item]['colour']}" in edit.target


def test_a_deletion_leaves_the_other_object_and_the_background() -> None:
    for edit in some("delete"):
        gone, stays = (edit.asked["objects"][n] for n in (edit.item, 1 - edit.item))
        assert f"{gone['colour']} {gone['shape']}" not in edit.target
        assert f"{stays['colour']} {stays['shape']}" in edit.target
        assert kinds_of_change(edit) == ["delete"]
        assert ("background" in edit.target) == (edit.asked["background"] is not None)
        assert not any(
            word in edit.target for word in (" and", "left of", "right of", "above", "below", "over", "under")
        )


def test_a_weighed_word_occurs_once_and_the_plain_caption_asks_for_the_opposite() -> None:
    for edit in some("reweight"):
        (word,) = edit.weighed
        assert edit.source == edit.target != edit.unweighted_target
        assert edit.source.split().count(word) == 1
        assert edit.asked["objects"][edit.item]["size"] != edit.wanted
        assert f"{edit.wanted} {edit.asked['objects'][edit.item]['colour']}" in edit.unweighted_target


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kind=twist: choose one of swap, insert, delete, reweight"):
        some("twist", 1)
