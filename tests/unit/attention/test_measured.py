"""`auto` takes what was fastest for the most similar shape, and PyTorch's choice where nothing similar was measured."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from ldmlab.attention.backends import BACKENDS
from ldmlab.attention.measured import CANDIDATES, MEASURED, FastestBackend, Measurement

ROOT = Path(__file__).parents[3]


def row(
    shape: tuple[int, int, int, int, int], masked: bool = False, **milliseconds: tuple[float, float]
) -> Measurement:
    return Measurement("a GPU", (9, 0), torch.bfloat16, shape, masked, milliseconds)


SHORT = row((8, 4, 256, 256, 64), sdpa=(1.0, 4.0), sdpa_flash=(0.5, 5.0), explicit=(0.1, 0.1))
LONG = row((8, 4, 4096, 4096, 64), sdpa=(9.0, 30.0), xformers=(8.0, 29.0), sdpa_cudnn=(7.0, 28.0))
WORDS = row((8, 4, 4096, 77, 64), masked=True, sdpa=(1.0, 3.0), sdpa_efficient=(0.9, 3.5))
ROWS = (SHORT, LONG, WORDS)


def fastest(
    queries: int,
    keys: int,
    width: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    masked: bool = False,
    grad: bool = False,
    rows: tuple[Measurement, ...] = ROWS,
    without: tuple[str, ...] = (),
) -> str:
    q = torch.empty(1, 2, queries, width, dtype=dtype, device="meta", requires_grad=grad)
    k = torch.empty(1, 2, keys, width, dtype=dtype, device="meta")
    mask = torch.empty(1, 1, 1, keys, dtype=torch.bool, device="meta") if masked else None
    return FastestBackend(rows, without)(q, k, mask)


def test_forward_and_backward_have_times_of_their_own() -> None:
    assert fastest(256, 256) == "sdpa_flash"
    assert fastest(256, 256, grad=True) == "sdpa"
    assert fastest(256, 256, grad=False, dtype=torch.float16) == "sdpa_flash"  # the same kernels


def test_the_nearest_row_decides() -> None:
    assert fastest(400, 400) == "sdpa_flash"
    assert fastest(2000, 2000) == "sdpa_cudnn"
    assert fastest(2000, 2000, width=128) == "sdpa_cudnn"


@pytest.mark.parametrize("shape", [(17000, 17000, 64), (63, 63, 64), (4096, 4096, 257), (4096, 77, 64)])
def test_nothing_is_concluded_for_shapes_unlike_the_measured(shape: tuple[int, int, int]) -> None:
    assert fastest(*shape) == "sdpa"


def test_masked_and_float32_are_other_kernels() -> None:
    assert fastest(4096, 77, masked=True) == "sdpa_efficient"
    assert fastest(256, 256, masked=True) == "sdpa"
    assert fastest(256, 256, dtype=torch.float32) == "sdpa"


def test_what_cannot_run_here_is_not_chosen() -> None:
    rows = (row((8, 4, 256, 256, 64), sdpa=(2.0, 2.0), xformers=(1.0, 1.0)),)
    assert fastest(256, 256, rows=rows) == "xformers"
    assert fastest(256, 256, rows=rows, without=("xformers",)) == "sdpa"


def test_measured_rows_name_backends_and_have_sdpa() -> None:
    """Each was measured against PyTorch's own choice, which `auto` would be without it."""
    for measured in MEASURED:
        assert set(measured.milliseconds) <= set(BACKENDS)
        assert "sdpa" in measured.milliseconds
        assert all(0 < forward < both for forward, both in measured.milliseconds.values())
    assert set(CANDIDATES) <= set(BACKENDS)


@pytest.mark.parametrize("measured", MEASURED, ids=lambda measured: "x".join(map(str, measured.shape)))
def test_a_measured_shape_gets_its_own_fastest(measured: Measurement) -> None:
    _, _, queries, keys, width = measured.shape
    for grad in (False, True):
        times = {name: measured.milliseconds[name][grad] for name in measured.milliseconds if name in CANDIDATES}
        chosen = fastest(queries, keys, width, measured.dtype, measured.masked, grad, MEASURED)
        assert times[chosen] == min(times.values())


@pytest.mark.parametrize("measured", MEASURED, ids=lambda measured: "x".join(map(str, measured.shape)))
def test_the_docs_show_each_row(measured: Measurement) -> None:
    lines = (ROOT / "docs/attention.md").read_text().splitlines()
    shape = ", ".join(map(str, measured.shape))
    [line] = [line for line in lines if line.startswith(f"| {shape} | {'yes' if measured.masked else 'no'} |")]
    for forward, both in measured.milliseconds.values():
        assert f"| {forward:.3g} / {both:.3g} |" in line


def test_the_bench_gives_rows() -> None:
    """On a CPU in tiny sizes: what can run is timed, what cannot is left out."""
    spec = importlib.util.spec_from_file_location("attention_backends", ROOT / "tests/bench/attention_backends.py")
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    shapes = (((2, 2, 8, 8, 8), False), ((2, 2, 8, 5, 8), True))
    rows = bench.measure(torch.device("cpu"), shapes, (torch.float32,), seconds=1e-3)
    assert [set(measured.milliseconds) for measured in rows] == [{"sdpa", "explicit", "sdpa_flash"}] * 2
    assert eval(f"({bench.code(rows)})", {"Measurement": Measurement, "torch": torch})[0].shape == (2, 2, 8, 8, 8)
    assert len(bench.table(rows).splitlines()) == 4
