"""The pictures that others are compared with, handed to metrics."""

from __future__ import annotations

from ldmlab.evaluation.picture_set import PictureSet
from ldmlab.evaluation.shares import SINGLE, Shares
from ldmlab.metrics.feed import Feed, Reading
from ldmlab.progress import track


def read_reference(reference: PictureSet, feed: Feed, shares: Shares = SINGLE) -> None:
    """Hand all pictures of a reference on; none is read where no metric compares with any.

    Args:
        reference: the pictures.
        feed: of the metrics' `update_reference`.
        shares: which batches this rank reads.

    Raises:
        ValueError: a metric reads what the pictures lack.
    """
    if not feed.reads:
        return

    def read(part: range) -> Reading:
        batch = reference.pictures(part)
        feed.require(batch)
        return shares.read(feed, part, lambda: batch)

    for reading in shares.each(track(reference.parts(), "reading"), read):
        feed.add(reading)
    feed.close()
