"""`ldmlab import`: a public checkpoint as a model of ours. The module has a `_` because `import` is a keyword."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from omegaconf import DictConfig

from ldmlab.configs.build import resolved
from ldmlab.interop.family import Hints
from ldmlab.interop.importing import ASKED, ConvertedPart, Imported, assemble, convert
from ldmlab.interop.process_sections import option
from ldmlab.interop.source import read_source
from ldmlab.models.build import build_outline
from ldmlab.models.checkpoints import export_weights, require_fit
from ldmlab.models.limits import no_larger_than
from ldmlab.models.loading import is_model_of_ours, stored_part
from ldmlab.models.stored import require_sound, require_stored


def run(cfg: DictConfig) -> None:
    """Convert, check that the parts fit each other, and write one file."""
    path = Path(cfg.path)
    name = path.resolve().name if path.is_dir() else path.stem
    output = Path(cfg.output) if cfg.output else Path("runs/import") / f"{name}.safetensors"
    if output.suffix != ".safetensors" or output.resolve() == path.resolve():
        raise ValueError(f"output={output}: give another file than the checkpoint's, ending in .safetensors")
    if output.exists():
        raise ValueError(f"output={output}: is there already; take it away, or give another file")
    hints = _hints(cfg)
    source = read_source(path, cfg.ema)
    parts, ignored = convert(source, hints)
    for name in ASKED:
        ckpt = cfg[f"{name}_ckpt"]
        if ckpt is not None and "backbone" not in parts:
            raise ValueError(f"{name}_ckpt={ckpt}: path={path} holds no backbone that would take it; leave it out")
        if ckpt is not None:
            parts[name] = _other(name, ckpt, hints, ignored)
    imported = assemble(source, parts, ignored, hints)
    require_whole(imported, path)
    output.parent.mkdir(parents=True, exist_ok=True)
    export_weights(output, imported.state, imported.config, imported.ema, cfg.half)
    for line in imported.summary:
        print(line)
    print(f"{imported.config['model']}: {output}")


def _hints(cfg: DictConfig) -> Hints:
    chosen = cfg.get("parameterization")
    tokenizer = None if cfg.tokenizer is None else Path(cfg.tokenizer)
    return Hints(
        heads=cfg.heads,
        head_width=cfg.head_width,
        latent_scale=cfg.latent_scale,
        quick_gelu=cfg.quick_gelu,
        tokenizer=tokenizer,
        image_size=cfg.image_size,
        parameterization=None if chosen is None else option(resolved(chosen)),
        zero_terminal_snr=cfg.zero_terminal_snr,
    )


def _other(name: str, path: str, hints: Hints, ignored: Counter[str]) -> ConvertedPart:
    """A part from a file of its own, ours or public."""
    if is_model_of_ours(path):
        section, state, _ = stored_part(path, name)
        return ConvertedPart("from a model of ours", section, state, {})
    parts, left = convert(read_source(Path(path)), hints)
    if name not in parts:
        raise ValueError(f"{name}_ckpt={path}: holds no {name}, but {', '.join(parts)}")
    ignored += left
    return parts[name]


def require_whole(imported: Imported, path: Path) -> None:
    """Hold the tensors against the model that a command would build from the config."""
    try:
        config = require_stored(imported.config)
        with no_larger_than(tensor.numel() for tensor in imported.state.values()):
            own = build_outline(config).state_dict()
        require_fit(own, imported.state, path)
        require_sound(own, imported.state)
    except ValueError as error:
        raise ValueError(f"the parts do not fit each other: {error}") from error
