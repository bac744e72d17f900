import os

import pytest

from ldmlab.data.latents.manifest import NAME, claim

FACTS = {"autoencoder": "a" * 64, "samples": 10, "mirrored": False}


def test_the_same_cache_is_claimed_again(tmp_path):
    for _ in range(2):
        claim(tmp_path / "cache", FACTS)
        (tmp_path / "cache/000000.npy").touch()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["000000.npy", NAME]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"autoencoder": "b" * 64},
            "holds a cache of autoencoder=aaaaaaaaaaaa, and this run has autoencoder=bbbbbbbbbbbb",
        ),
        ({"samples": 11}, "samples=10, and this run has samples=11"),
        ({"mirrored": True}, "mirrored=False, and this run has mirrored=True"),
        ({"decoder": "draft"}, "does not say its decoder"),
    ],
)
def test_a_stale_one_is_refused_in_one_line_until_it_is_to_be_made_anew(tmp_path, change, told):
    claim(tmp_path / "cache", FACTS)
    part, other = tmp_path / "cache/000000.npy", tmp_path / "cache/mine.npy"
    part.touch()
    other.touch()
    with pytest.raises(ValueError, match=r"anew by latents\.rebuild=true") as raised:
        claim(tmp_path / "cache", FACTS | change)
    assert told in str(raised.value)
    assert str(tmp_path / "cache") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert part.exists()
    claim(tmp_path / "cache", FACTS | change, rebuild=True)
    assert (part.exists(), other.exists()) == (False, True)
    claim(tmp_path / "cache", FACTS | change)


def test_rebuilding_what_is_not_stale_keeps_it(tmp_path):
    """As a job does that is queued again with the same command."""
    claim(tmp_path / "cache", FACTS)
    (tmp_path / "cache/000000.npy").touch()
    claim(tmp_path / "cache", FACTS, rebuild=True)
    assert (tmp_path / "cache/000000.npy").exists()


def test_files_of_which_nobody_says_what_they_are_are_not_taken(tmp_path):
    (tmp_path / "000000.npy").touch()
    claim(tmp_path, FACTS)
    assert not (tmp_path / "000000.npy").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'"' + b"a" * (2**20 + 1) + b'"'])
def test_a_manifest_that_nobody_can_read_is_stale(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ValueError, match="does not say its autoencoder"):
        claim(tmp_path, FACTS)


def test_links_and_pipes_are_not_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"link: is a link.*latents\.path="):
        claim(tmp_path / "link", FACTS)
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(ValueError, match="anew by"):
        claim(tmp_path, FACTS)


def test_all_ranks_are_told(tmp_path, on_ranks):
    claim(tmp_path, FACTS)

    def told(ranks):
        with pytest.raises(ValueError, match="this run has samples=11"):
            claim(tmp_path, FACTS | {"samples": 11}, ranks=ranks)
        return True

    assert on_ranks(2, told) == [True, True]
