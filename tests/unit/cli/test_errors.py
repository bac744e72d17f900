from __future__ import annotations

import errno
import os

import pytest
from hydra.utils import instantiate

from ldmlab.cli.errors import explain
from ldmlab.configs.errors import UserError, one_line


def component(scale: float) -> float:
    if scale < 0:
        raise ValueError(f"guidance.scale={scale}: must be positive")
    return scale


def test_user_and_value_errors_are_told_in_one_line() -> None:
    assert explain(UserError("seed=-1: no")) == "seed=-1: no"
    assert explain(ValueError("first\n  second")) == "first second"


@pytest.mark.parametrize("bug", [KeyError("x"), TypeError("x"), RuntimeError("x"), AssertionError(), ImportError("x")])
def test_bugs_are_not_explained(bug: Exception) -> None:
    assert explain(bug) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
def test_full_disk_names_the_file(number: int) -> None:
    line = explain(OSError(number, "words of the system", "runs/last.ckpt"))
    assert line == "no space left to write: runs/last.ckpt; free some and run the same command again"


def test_full_disk_is_seen_behind_another_error() -> None:
    outer = RuntimeError("write failed")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no space left" in str(explain(outer))
    assert "no space left" in str(explain(RuntimeError("I/O error: No space left on device (os error 28)")))


@pytest.mark.parametrize("number", [errno.EBADF, errno.ECHILD, errno.ESRCH])
def test_errors_of_the_system_that_nobody_can_mend_are_bugs(number: int) -> None:
    assert explain(OSError(number, os.strerror(number), "a")) is None


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EROFS, "read-only file system: runs/a; give a place that can be written to"),
        (errno.EBUSY, "device or resource busy: runs/a; close what uses it"),
        (errno.ETXTBSY, "text file busy: runs/a; close what uses it"),
        (errno.EMFILE, "too many open files: runs/a; raise the limit (ulimit -n) or lower data.num_workers"),
        (errno.ENAMETOOLONG, "file name too long: runs/a; give a shorter name"),
        (errno.ELOOP, "too many levels of symbolic links: runs/a; mend the links, which lead round in a circle"),
        (errno.EPERM, "operation not permitted: runs/a; see who owns it, or give another place"),
        (errno.EACCES, "permission denied: runs/a; see who owns it, or give another place"),
        (errno.ENOTDIR, "not a directory: runs/a"),
    ],
)
def test_errors_of_the_system_name_the_file_and_the_fix(number: int, told: str) -> None:
    assert explain(OSError(number, os.strerror(number), "runs/a")) == told


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_disk_that_went_away(number: int) -> None:
    assert "run the same command again" in str(explain(OSError(number, os.strerror(number), "runs/a")))


def test_words_of_the_system_without_its_number() -> None:
    rust = type("SafetensorError", (Exception,), {})(
        "Error while serializing: I/O error: Read-only file system (os error 30)"
    )
    assert str(explain(rust)).startswith("read-only file system")
    torch_error = RuntimeError("unable to open file </data/a.pt> in read-only mode: Too many open files (24)")
    assert str(explain(torch_error)).startswith("too many open files: /data/a.pt; ")
    assert explain(RuntimeError("CUDA error: invalid argument")) is None
    assert explain(OSError("image file is truncated (12 bytes not processed)")) == (
        "image file is truncated (12 bytes not processed)"
    )


def test_errors_in_a_process_that_reads_data_are_told_without_its_trace() -> None:
    def caught(name: str, text: str) -> str:
        trace = 'Traceback (most recent call last):\n  File "/x/y.py", line 1, in f\n    g()'
        return f"Caught {name} in DataLoader worker process 0.\nOriginal {trace}\n{name}: {text}\n"

    assert explain(ValueError(caught("ValueError", "data.path=x: a shard is gone"))) == "data.path=x: a shard is gone"
    gone = caught("FileNotFoundError", "[Errno 2] No such file or directory: '/data/a.tar'")
    assert explain(OSError(gone)) == "no such file or directory: /data/a.tar"
    assert explain(KeyError(caught("KeyError", "'caption'"))) is None
    lost = RuntimeError("DataLoader worker (pid(s) 12) exited unexpectedly")
    assert "lower data.num_workers" in str(explain(lost))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 10.0 GiB for an array with shape (9,)"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 10.0 GiB. GPU 0 has a total capacity of 79.10 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 160 bytes. Error code 12"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_out_of_memory_says_what_to_lower(error: Exception) -> None:
    line = str(explain(error))
    assert line.startswith("out of memory")
    assert "data.batch_size" in line
    assert ("10.0 GiB" in line) == ("10.0 GiB" in str(error))


@pytest.mark.parametrize("bug", [KeyError("x"), TypeError("x"), AttributeError("x")])
def test_a_bug_on_the_way_of_an_error_of_the_system_is_a_bug(bug: Exception) -> None:
    bug.__context__ = OSError(errno.EROFS, "Read-only file system")
    assert explain(bug) is None


def test_what_the_library_says_of_a_file_comes_before_the_words_of_the_system() -> None:
    error = ValueError("ckpt=a: no such file; give another")
    error.__cause__ = FileNotFoundError(errno.ENOENT, "No such file or directory", "a")
    assert explain(error) == "ckpt=a: no such file; give another"


def test_missing_file_is_named() -> None:
    assert explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.ckpt")) == (
        "no such file or directory: a.ckpt"
    )


def test_error_of_a_constructor_names_its_key() -> None:
    config = {"guidance": {"_target_": f"{__name__}.component", "scale": -1}}
    with pytest.raises(Exception, match="must be positive") as raised:
        instantiate(config)
    assert explain(raised.value) == "guidance.scale=-1: must be positive (in 'guidance')"


def test_a_value_that_a_library_refuses_is_bad_input() -> None:
    with pytest.raises(Exception, match="Error in call to target") as raised:
        instantiate({"_target_": "ldmlab.backbones.attention_layers.Attention", "width": 8, "heads": "wide"})
    line = explain(raised.value)
    assert line is not None
    assert line.startswith("a value does not fit: ")


def test_unknown_target_is_bad_input() -> None:
    with pytest.raises(Exception, match="Error locating target") as raised:
        instantiate({"_target_": "ldmlab.samplers.nowhere.Sampler"})
    assert explain(raised.value) == (
        "_target_=ldmlab.samplers.nowhere.Sampler: No module named 'ldmlab.samplers.nowhere'; PYTHONPATH=FOLDER lets "
        "Python find a module of your own"
    )


def test_one_line_joins() -> None:
    assert one_line(" a\n\tb  c ") == "a b c"
