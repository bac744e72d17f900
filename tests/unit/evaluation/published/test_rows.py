"""The published rows: all of the lecture's two tables, each with its source."""

from __future__ import annotations

import re

import pytest

from ldmlab.evaluation.published.circumstances import TOPICS
from ldmlab.evaluation.published.rows import CIRCUMSTANCES, published, table_names

IMAGENET = """
BigGAN-deep 6.95 7.36 171.4 0.87 0.28; StyleGAN-XL 2.30 4.02 265.12 0.78 0.53; ADM 10.94 6.02 100.98 0.69 0.63;
ADM-U 7.49 5.13 127.49 0.72 0.63; ADM-G 4.59 5.25 186.70 0.82 0.52; ADM-G+ADM-U 3.94 6.14 215.84 0.83 0.53;
CDM 4.88 - 158.71 - -; LDM-8 15.51 - 79.03 0.65 0.63; LDM-8-G 7.76 - 209.52 0.84 0.35; LDM-4 10.56 - 103.49 0.71 0.62;
LDM-4-G_(1.25) 3.95 - 178.22 0.81 0.55; LDM-4-G_(1.50) 3.60 - 247.67 0.87 0.48; DiT-XL/2 9.62 6.85 121.50 0.67 0.67;
DiT-XL/2-G_(1.25) 3.22 5.28 201.77 0.76 0.62; DiT-XL/2-G_(1.50) 2.27 4.60 278.24 0.83 0.57
"""
COCO = """
CogView 27.10 18.20 4B; LAFITE 26.94 26.02 75M; GLIDE 12.24 - 6B; Make-A-Scene 11.84 - 4B; LDM-KL-8 23.31 20.03 1.45B;
LDM-KL-8-G 12.63 30.29 1.45B
"""


@pytest.mark.parametrize(
    ("name", "figures", "text"),
    [("imagenet256", "FID sFID IS precision recall", IMAGENET), ("coco256", "FID IS params", COCO)],
)
def test_a_table_of_the_lecture(name: str, figures: str, text: str) -> None:
    table = published(name)
    assert list(table.figures) == figures.split()
    wanted = [row.split() for row in text.replace("\n", " ").split(";")]
    found = [[row.model.replace(" ", "_"), *(row.figures[each] or "-" for each in table.figures)] for row in table.rows]
    assert found == wanted


@pytest.mark.parametrize("name", table_names())
def test_every_row_says_where_it_stands(name: str) -> None:
    table = published(name)
    assert all((table.title, table.rows))
    for row in table.rows:
        assert "arXiv:" in row.source
        assert re.search(r"\(arXiv:[\d.]+\) Table \d+$", row.printed_in)
        assert row.circumstances.keys() <= {*CIRCUMSTANCES}


def test_every_topic_is_a_circumstance() -> None:
    assert {topic.column for topic in TOPICS} <= {*CIRCUMSTANCES}
    assert len({topic.mark for topic in TOPICS}) == len(TOPICS)


def test_a_table_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="table=imagenet: no such table; choose one of coco256, imagenet256"):
        published("imagenet")
