"""A public checkpoint, and what it lacks from other files, as one file in our format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ldmlab.interop.family import ImportHints
from ldmlab.interop.importing import ConvertedPart, Imported, assemble, convert_parts
from ldmlab.interop.public_checkpoint import read_public
from ldmlab.models.build import build_outline
from ldmlab.models.checkpoints import export_weights, require_fit
from ldmlab.models.limits import no_larger_than
from ldmlab.models.loading import is_model_of_ours, stored_part
from ldmlab.models.stored import require_sound, require_stored

FOLDER = Path("runs/import")
"""Where a model comes to lie that is given no other place."""


def import_file(
    path: Path,
    output: Path | None,
    lent: Mapping[str, str | None],
    hints: ImportHints,
    ema: bool = True,
    half: bool = False,
) -> tuple[Imported, Path]:
    """Convert a checkpoint, check that its parts fit each other, and write one file.

    Args:
        path: a public checkpoint: a file, or a folder of diffusers.
        output: file to write; None for one of the checkpoint's name in `FOLDER`.
        lent: files, public or ours, that give what it lacks: "autoencoder", "conditioner". None for no such file.
        hints: what the weights do not tell.
        ema: take averaged weights where there are both.
        half: write fp32 in half precision.

    Returns:
        The model, and the file that holds it.

    Raises:
        ValueError: a file cannot be read as what it should be, its parts do not fit each other, or `output` is there.
    """
    output = _new_file(path, output)
    source = read_public(path, ema)
    parts, ignored = convert_parts(source, hints)
    for name, ckpt in lent.items():
        if ckpt is not None and "backbone" not in parts:
            raise ValueError(f"{name}_ckpt={ckpt}: path={path} holds no backbone that would take it; leave it out")
        if ckpt is not None:
            parts[name] = _lent(name, ckpt, hints, ignored)
    imported = assemble(source, parts, ignored, hints)
    require_whole(imported, path)
    output.parent.mkdir(parents=True, exist_ok=True)
    export_weights(output, imported.state, imported.config, imported.ema, half)
    return imported, output


def require_whole(imported: Imported, path: Path) -> None:
    """Hold the tensors against the model that would be built from the config.

    Raises:
        ValueError: they are of another model, in number or shape, or not sound.
    """
    try:
        config = require_stored(imported.config)
        with no_larger_than(tensor.numel() for tensor in imported.state.values()):
            expected = build_outline(config).state_dict()
        require_fit(expected, imported.state, path)
        require_sound(expected, imported.state)
    except ValueError as error:
        raise ValueError(f"the parts do not fit each other: {error}") from error


def _new_file(path: Path, output: Path | None) -> Path:
    if output is None:
        output = FOLDER / f"{path.resolve().name if path.is_dir() else path.stem}.safetensors"
    if output.suffix != ".safetensors" or output.resolve() == path.resolve():
        raise ValueError(f"output={output}: give another file than the checkpoint's, ending in .safetensors")
    if output.exists():
        raise ValueError(f"output={output}: is there already; take it away, or give another file")
    return output


def _lent(name: str, ckpt: str, hints: ImportHints, ignored: Counter[str]) -> ConvertedPart:
    """A part from a file of its own, ours or public; what of a public one is ignored is counted in `ignored`."""
    if is_model_of_ours(ckpt):
        section, state, _ = stored_part(ckpt, name)
        return ConvertedPart("from a model of ours", section, state, {})
    parts, left = convert_parts(read_public(Path(ckpt)), hints)
    if name not in parts:
        raise ValueError(f"{name}_ckpt={ckpt}: holds no {name}, but {', '.join(parts)}")
    ignored += left
    return parts[name]
