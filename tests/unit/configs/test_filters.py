"""`filter=` takes the name of an option, or an expression."""

from __future__ import annotations

import pytest

from ldmlab.cli.arguments import parse
from ldmlab.configs.calls import configured
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError
from ldmlab.configs.filters import build_filter, with_expressions
from ldmlab.configs.overrides import parse as parse_overrides
from ldmlab.data.filters.filter import Filter
from ldmlab.paths import conf_dir


@pytest.mark.parametrize(
    "expression",
    [
        "original_width >= 512 and aesthetic > 5",
        "language == 'en' and \"cat\" in lower(caption)",
        "'cat' in caption",
        "language in ['en', 'de']",
        "max(width, height) / min(width, height) < 2",
        'field("image.width") > 5',
        r"'a\\b' in caption and '~' in caption",
    ],
)
def test_an_expression_comes_through_the_command_line_as_it_is(expression: str) -> None:
    option, where = parse("train", [f"filter={expression}"]).overrides
    assert (option, parse_overrides([where])[0].value()) == ("filter=where", expression)


def test_names_are_left_to_hydra() -> None:
    for value in ("sd1", "none", "sd1,sd2", "'sd1'", "[sd1]", "mine/of-2.0", "null"):
        assert with_expressions([f"filter={value}"]) == [f"filter={value}"]
    assert with_expressions(["seed=1", "filter.where=a > 5"]) == ["seed=1", 'filter.where="a > 5"']


def test_the_last_choice_counts() -> None:
    assert with_expressions(["filter=a > 5", "seed=1", "filter=sd1"]) == ["seed=1", "filter=sd1"]
    assert with_expressions(["filter=sd1", "filter=a > 5"]) == ["filter=where", 'filter.where="a > 5"']


def test_a_sweep_has_several_expressions() -> None:
    given = with_expressions(['filter="aesthetic > 5","aesthetic > 6"'])
    assert given == ["filter=where", 'filter.where="aesthetic > 5","aesthetic > 6"']


def test_a_call_from_python_takes_an_expression() -> None:
    expression = "aesthetic > 5 and language == 'en'"
    config = configured("evaluate", {"filter": expression, "filter.missing": "keep"})
    assert build_filter(config) == Filter(expression, "keep")
    assert build_filter(configured("evaluate", {})) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "filter").glob("*.yaml")))
def test_options_are_filters_of_samples_with_scores(name: str) -> None:
    lines = [f"filter={name}", *(["filter.where=aesthetic > 5"] if name == "where" else [])]
    built = build_filter(validate("train", with_expressions(lines), complete=False))
    good = {"original_width": 512, "original_height": 512, "pwatermark": 0.0, "aesthetic": 5.5, "punsafe": 0.0}
    assert (built is None) == (name == "none")
    assert built is None or (built.keeps(good) and not built.keeps({**good, "aesthetic": 4.0}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("filter=", "filter=: is no expression (it is empty)"),
        ("filter.where=5", "filter.where=5: this key takes text"),
        ("filter=sd3", "group 'filter' has no option 'sd3'; did you mean 'sd1'?"),
        ("filter=aesthetic >", "filter=aesthetic >: is no expression (invalid syntax"),
        ("filter=aesthetic = 5", "'= 5'); write it as in"),
        ("filter=where", "no value for filter.where; give filter.where=VALUE"),
        ("data.filter=sd1", "data.filter: choose it by filter=NAME or filter=EXPRESSION"),
        ("filter.missing=keep", "filter.missing=keep: nothing would read it: no filter is chosen"),
    ],
)
def test_a_filter_that_is_none_is_told_in_one_line(given: str, told: str) -> None:
    from ldmlab.configs.commands.train import CHECKS

    lines = ["data.path=.", *(["filter=where"] if "where=" in given else []), given]
    with pytest.raises(UserError) as caught:
        validate("train", parse("train", lines).overrides, checks=CHECKS)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
