"""The Inception of 2015 as an extractor."""

from __future__ import annotations

from pathlib import Path

from ldmlab.extractors.base import NetworkExtractor
from ldmlab.pretrained import inception


class Inception2015(NetworkExtractor):
    """The Inception of 2015, 2048 features and 1008 classes: what published FID and IS use.

    Args:
        weights: path of weights-inception-2015-12-05-6726825d.pth.

    Raises:
        ValueError: no path is given, or the file is absent or not the known one.
    """

    name = "inception-2015"
    suffix = ""
    weights_sha256 = inception.WEIGHTS_SHA256

    def __init__(self, weights: Path | str | None) -> None:
        super().__init__(inception.Inception2015(weights))
