"""What an expression says of samples, and what is none."""

from __future__ import annotations

import pickle

import pytest

from ldmlab.data.filters.expression import MOST_CHARACTERS, parse
from ldmlab.data.filters.filter import Filter

META = {
    "original_width": 600,
    "original_height": 800,
    "AESTHETIC_SCORE": 5.5,
    "pwatermark": 0.0,
    "LANGUAGE": "en",
    "similarity": None,
    "nan": float("nan"),
    "is_photo": True,
    "image.width": 3,
    "tags": ["a"],
    "huge": 10**400,
}


def kept(where: str, missing: str = "drop") -> bool:
    return Filter(where, missing).keeps(META, "A Cat on a mat", (300, 200))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "where",
    [
        "original_width >= 512 and aesthetic > 5",
        "aesthetic_score == AESTHETIC_SCORE == 5.5",
        "pwatermark <= 0.4999",  # a score of 0 is a score
        "not pwatermark",
        "is_photo and is_photo == 1 and is_photo == True",
        "language == 'en' and LANGUAGE != 'de' and language in ['de', 'en']",
        "language not in ('de', 'fr') and original_width in {600, 700}",
        "'Cat' in caption and 'cat' in lower(caption) and 'dog' not in caption",
        "len(caption) == 14 and words(caption) == 5",
        "aspect == 1.5 and image_width == 300 and width == 300",
        "512 <= original_width <= 640 < original_height",
        "max(original_width, original_height) / min(original_width, original_height) < 1.5",
        "abs(original_width - original_height) == 200 and -original_width // 7 == -86 and original_width % 7 == 5",
        "(original_width + 2 * original_height) * 2 == 4400",
        "missing(similarity) and missing(nan) and missing(punsafe) and not missing(tags) and not missing(huge)",
        'field("image.width") == 3',
        "punsafe < 0.1 or aesthetic > 5",  # decided by what is there
        "not (punsafe < 0.1 and aesthetic < 5)",
        "missing(punsafe) or punsafe < 0.1",
        "True",
        "aesthetic\n> 5",
        "huge > 10 and -huge < 10",
    ],
)
def test_what_is_kept(where: str) -> None:
    assert kept(where)
    assert not kept(f"not ({where})")
    assert kept(where, "refuse")


@pytest.mark.parametrize(
    "where",
    [
        "punsafe < 0.1",
        "not punsafe < 0.1",
        "similarity > 0.3",
        "nan > 0",
        "tags > 0",
        "caption > 5",
        "aesthetic == 'high'",
        "punsafe",
        "len(nothing) > 0",
        "0 * original_width / 0 > 1",
        "min(punsafe, aesthetic) < 6",
        "punsafe < 0.1 and aesthetic > 5",
    ],
)
def test_what_lacks_what_decides_goes_where_it_is_sent(where: str) -> None:
    assert not kept(where)
    assert kept(where, "keep")
    with pytest.raises(
        ValueError, match=r"filter\.missing=refuse: '.*' cannot be decided; filter\.missing=drop leaves"
    ):
        kept(where, "refuse")


def test_the_rest_may_decide_without_what_is_missing() -> None:
    assert not kept("punsafe < 0.1 and aesthetic > 6", "keep")
    assert not kept("punsafe < 0.1 or aesthetic > 6")
    assert kept("punsafe < 0.1 or aesthetic > 6", "keep")


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "is no expression (it is empty); write it as in"),
        ("aesthetic >", "is no expression (invalid syntax"),
        ("aesthetic = 5", "at '= 5'); write it as in"),
        ("aesthetic > 5 && width > 3", "is no expression"),
        ("1", "'1': is neither true nor false"),
        ("len(caption)", "is neither true nor false; compare it"),
        ("aesthetic > '5'", "texts are compared by ==, != and in"),
        ("aesthetic > None", "asked for by missing(FIELD)"),
        ("aesthetic is 5", "asked for by missing(FIELD)"),
        ("a.b > 5", "'a.b': is no number"),
        ("2 ** 5000 > a", "is no number"),
        ("a > 1e999", "is no number to compare"),
        ("a > 1j", "is no number to compare"),
        ("__import__('os').system('true')", "is neither true nor false"),
        ("open('x') > 5", "there is no such function; choose one of min, max"),
        ("min(a) > 5", "min() takes two numbers or more"),
        ("abs(a, b) > 5", "abs() takes one value"),
        ("lower(caption) > 5", "texts are compared"),
        ("5 + lower(caption) > 5", "is no number"),
        ("language in []", "the list is empty"),
        ("field(a) > 1", 'takes a name in quotes, as field("image.width")'),
        ("missing(5)", "missing() takes a field"),
        ("len(5) > 1", "is no text"),
        ("[x for x in y]", "is neither true nor false"),
        ("a if b else c", "is neither true nor false"),
        ("a\0b > 5", "is no expression"),
        ("-" * 3000 + "a > 5", "is no expression"),
        ("(" * 300 + "a" + ")" * 300, "is no expression"),
        ("not " * 70 + "a", "is nested too deeply"),
        ("a > 5 or " * 1000 + "a", f"is longer than {MOST_CHARACTERS} characters"),
    ],
)
def test_what_is_none_is_told_in_one_line(where: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - matched below
        Filter(where)
    line = str(caught.value)
    assert line.startswith("filter=")
    assert told in line
    assert "\n" not in line
    assert len(line) < 600


def test_conditions_are_what_and_joins() -> None:
    expression = parse("a  >  5 and (b > 3 and c) and (d or e) and not f")
    assert [part.text for part in expression.parts] == ["a > 5", "b > 3", "c", "d or e", "not f"]
    assert expression.fields == ("a", "b", "c", "d", "e", "f")
    assert {*parse("max(a, words(caption)) > 1 or missing(field('c d'))").fields} == {"a", "caption", "c d"}


def test_filters_are_the_same_where_they_mean_the_same() -> None:
    assert str(Filter("a>5 and 'x' == b")) == str(Filter('a  > 5 and "x"==b')) == "a > 5 and 'x' == b"
    assert str(Filter("len( caption )>-1 and not(a  or b in['x',  \"y  (z\"])")) == (
        "len(caption) > - 1 and not (a or b in ['x', 'y  (z'])"
    )
    assert str(Filter("a > 5", "keep")) == "a > 5 (missing=keep)"
    assert pickle.loads(pickle.dumps(Filter("a > 5"))) == Filter("a > 5")
    assert Filter("a > 5", "keep").overrides == "'filter=a > 5' filter.missing=keep"
    with pytest.raises(ValueError, match=r"filter\.missing=skip: choose one of drop, keep, refuse"):
        Filter("a > 5", "skip")  # type: ignore[arg-type]


def test_nothing_of_a_strangers_expression_is_run() -> None:
    with pytest.raises(ValueError, match="there is no such function"):
        Filter("(lambda: 1 / 0)() > 5")
