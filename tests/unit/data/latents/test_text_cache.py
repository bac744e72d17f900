import pytest
import torch

from ldmlab.data.latents.text_cache import TextEncoder, text_cache

SHAPES = {"context": (4, 3), "vector": (3,)}


class Text:
    """Stands for a frozen text encoder: a caption's number, everywhere."""

    def __init__(self, scale=1.0):
        self.captions = 0
        self.scale = scale
        self.encoder = TextEncoder(self._features, SHAPES, "text")

    def _features(self, captions):
        assert not torch.is_grad_enabled()
        self.captions += len(captions)
        numbers = torch.tensor([float(caption.split()[1]) for caption in captions]) * self.scale
        return {name: numbers.view(-1, *[1] * len(shape)).expand(-1, *shape) for name, shape in SHAPES.items()}


def test_features_are_those_of_the_captions(many, tmp_path):
    text = Text()
    for _ in range(2):
        cache = text_cache(many.index, text.encoder, tmp_path / "cache", batch_size=7)
        found = cache.take([149, 0, 70])
        assert {name: (tuple(t.shape), t.dtype) for name, t in found.items()} == {
            name: ((3, *shape), torch.float16) for name, shape in SHAPES.items()
        }
        assert found["vector"][:, 0].tolist() == found["context"][:, 3, 2].tolist() == [149, 0, 70]
    assert (len(cache), text.captions) == (150, 150)


def test_those_of_another_encoder_are_refused(many, tmp_path):
    text_cache(many.index, Text().encoder, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"conditioner=text, and this run has conditioner=other"):
        text_cache(many.index, Text().encoder._replace(fingerprint="other"), tmp_path / "cache")


def test_features_beyond_float16_are_refused(many, tmp_path):
    with pytest.raises(ValueError, match=r"context is not finite in float16: leave latents\.text at false"):
        text_cache(many.index, Text(scale=1e5).encoder, tmp_path / "cache")
