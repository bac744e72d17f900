"""The manual: what `ldmlab --help` and `ldmlab <command> --help` print. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill, indent

from ldmlab.configs import catalogue
from ldmlab.configs.errors import UserError
from ldmlab.configs.suggest import hint

WIDTH = 88


@dataclass(frozen=True)
class Page:
    """What the manual says of a command beyond what its yaml says."""

    summary: str
    synopsis: str
    description: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, str], ...] = ()


PAGES = {
    "data": Page(
        summary="write a captioned dataset as WebDataset shards",
        synopsis="ldmlab data [dataset=NAME] [KEY=VALUE ...]",
        description=(
            "Draws the pictures of a dataset and writes them in the layout of img2dataset: numbered tar files of "
            "pictures, captions and json, a training and a held-out split that share no scene and no picture.",
            "The same seed gives the same bytes. An interrupted run leaves no half shard, and the same command "
            "goes on where it stopped.",
        ),
        examples=(
            ("ldmlab data dataset=shapes", "21 000 drawn scenes in data/shapes"),
            ("ldmlab data dataset=shapes dataset.image_size=128 data.path=data/big", "larger pictures, elsewhere"),
            ("ldmlab data dataset=openmoji dataset.background=black", "the pictures of OpenMoji on black"),
        ),
    ),
    "train": Page(
        summary="train an autoencoder or a latent diffusion model",
        synopsis="ldmlab train [experiment=STUDY/VARIANT] [model=NAME] [KEY=VALUE ...]",
        description=(
            "Trains on shards that `ldmlab data` wrote, on the GPU where there is one. An experiment is a yaml that "
            "sets many keys at once; whatever else is on the command line overrides it.",
            "The run's folder holds the config it ran with (.hydra/), checkpoints, metrics and sample grids. "
            "ckpt_path=last with the same output_dir continues a run exactly, and ckpt_path=auto begins where there is "
            "none yet. Ctrl-C and SIGTERM finish the step, save and end.",
            "init_ckpt=MODEL begins from whatever fits of the weights of another model.",
        ),
        examples=(
            ("ldmlab train experiment=shapes/dit", "the recorded study, again"),
            ("ldmlab train backbone=unet backbone.dropout=0.1 seed=1", "another backbone, a key of it, a seed"),
            ("ldmlab train output_dir=runs/mine ckpt_path=last", "continue"),
            ("ldmlab train -m seed=0,1,2", "three runs, one after the other"),
            ("ldmlab train experiment=shapes/dit --cfg job", "print the composed config and stop"),
        ),
    ),
    "sample": Page(
        summary="draw pictures from prompts",
        synopsis='ldmlab sample ["PROMPT" ...] [KEY=VALUE ...]',
        description=(
            "Words without `=` are prompts. Without ckpt= the model that comes with ldmlab draws. Writes the "
            "pictures and a labelled contact sheet; the same seed gives the same bytes whatever the batch size (on a "
            "GPU, up to rounding).",
        ),
        examples=(
            (
                'ldmlab sample "a small red circle left of a big blue square" "a green star"',
                "16 pictures, dealt in turn",
            ),
            ('ldmlab sample "a red star" n=4 seed=7 sampler.steps=20 guidance.scale=2', "fewer, faster, freer"),
            ("ldmlab sample prompts=prompts.txt ckpt=runs/train/mine/last.ckpt", "a file of prompts, a model of yours"),
        ),
    ),
    "edit": Page(
        summary="change a part of a picture, drawn or given, and keep the rest of it",
        synopsis='ldmlab edit [method=NAME] [image=FILE] [source="PROMPT"] [target="PROMPT"] [KEY=VALUE ...]',
        description=(
            "Prompt-to-prompt: both prompts are drawn side by side from the same noise, and the attention maps of the "
            "first steer the second. What differs between the prompts is found by aligning their words: swapped, "
            "inserted and deleted words, of any number on either side; reweight strengthens and weakens words.",
            "Works with every sampler, on every backbone that attends to words. method=fixed_seed draws the target "
            "prompt from the same noise without control, to compare with.",
            "image=FILE edits a picture of yours: prompt-to-prompt inverts it first (inversion=), and says how well; "
            "method=inpaint and mask_blend draw what mask=FILE marks white and keep all other pixels to the last bit; "
            "uncrop draws around it; sdedit keeps its layout; image_to_image is for models that were trained to read a "
            "picture.",
        ),
        examples=(
            ('ldmlab edit source="a red circle" target="a blue circle"', "four seeds, before and after"),
            ('ldmlab edit source="a red star" target="a blue star" tau_grid=[0,0.25,0.5,0.75,1]', "one row a tau"),
            ("ldmlab edit source='a red star above a blue circle' reweight='{star: 2}'", "a stronger word"),
            ('ldmlab edit source="a red circle" target="a blue circle" blend=[]', "only where the words differ"),
            ('ldmlab edit image=photo.png source="a red circle" target="a red star"', "a picture of yours"),
            ('ldmlab edit method=inpaint image=photo.png mask=mask.png target="a star"', "a part of it"),
        ),
    ),
    "benchmark": Page(
        summary="measure an editing method on drawn scenes that a verifier can judge",
        synopsis="ldmlab benchmark [kind=KIND] [method=NAME] [KEY=VALUE ...]",
        description=(
            "Draws scenes with the model, keeps those that the verifier reads as their captions ask, and edits them: "
            "kind=swap changes a word, insert says a size, delete takes an object out of the caption, reweight "
            "weakens a size without changing the caption. The verifier then says how often the change is there and "
            "how often everything else is as it was; pixels outside the edited object are compared with the source, "
            "and with what the same seed draws of the new caption without control.",
            "Prints a table and writes metrics.json with a manifest, edits.csv with a line an edit, and a contact "
            "sheet of sources over edits.",
        ),
        examples=(
            ("ldmlab benchmark kind=swap", "prompt-to-prompt, 200 edits"),
            ("ldmlab benchmark kind=swap method=mask_blend", "a baseline"),
            ("ldmlab benchmark experiment=prompt_to_prompt/insert ckpt=shapes/unet", "as the study has it"),
            ("ldmlab benchmark -m kind=swap,insert,delete sampler=ddim,unipc", "one result each"),
        ),
    ),
    "attention": Page(
        summary="show where a picture attends to each word of its prompt",
        synopsis='ldmlab attention prompt="PROMPT" [words=[WORD,...]] [by=step|site] [KEY=VALUE ...]',
        description=(
            "Draws the pictures of `ldmlab sample`, bit for bit, and averages the model's attention to words on the "
            "way, over heads, sites and steps. Writes the pictures and heatmaps.png: a row for each picture, a column "
            "for each word. A word's map is the sum over its tokens; what words leave to 100 % goes to the begin and "
            "end marks and the padding, and to the picture where it is in the same softmax.",
            "by=step and by=site write a sheet more for each picture, a row for each range of steps or each site. "
            "Works with every sampler, on every backbone that attends to words; costs one conditional pass more for "
            "each call of the model.",
        ),
        examples=(
            ('ldmlab attention prompt="a red circle left of a blue square"', "four seeds, word by word"),
            ('ldmlab attention prompt="a red star" ckpt=shapes/unet by=site n=1', "site by site"),
            ('ldmlab attention prompt="a big red star" words=[star,"big red"] by=step', "a word and a phrase in time"),
            ('ldmlab attention prompt="a red star" save_maps=true half_maps=true', "the numbers, in fp16"),
        ),
    ),
    "evaluate": Page(
        summary="measure a trained model on held-out shards",
        synopsis="ldmlab evaluate [ckpt=PATH] [path=DATASET] [KEY=VALUE ...]",
        description=(
            "A text-to-image model: Frechet distance and inception score on the features of the chosen extractor, "
            "and on shapes the share of what the captions ask for that a verifier reads back from the pixels. "
            "An autoencoder: PSNR, SSIM and the Frechet distance of reconstructions, and of a codebook the perplexity "
            "and the share of codes in use. A model conditioned on pictures: PSNR, SSIM and the same distance of "
            "held-out pictures drawn again, beside those of the naive answer: bicubic, the grey picture, a mean.",
            "Prints a table and writes metrics.json with a manifest of everything the numbers depend on. Only "
            "extractor=inception gives the FID that papers report.",
        ),
        examples=(
            ("ldmlab evaluate ckpt=runs/train/mine/last.ckpt", "a model of yours on the data it was trained on"),
            ("ldmlab evaluate ckpt=shapes/unet n=200 guidance.scale=2", "the shipped UNet, guided less"),
            ("ldmlab evaluate extractor=inception extractor.weights=inception.pth", "published FID"),
            ("ldmlab evaluate -m guidance.scale=1,2,4", "one result a scale"),
        ),
    ),
    "describe": Page(
        summary="print a composed model: modules, parameters, MACs, FLOPs, tokens, memory",
        synopsis="ldmlab describe [model=NAME] [GROUP=OPTION ...] [KEY=VALUE ...]",
        description=(
            "Builds the model that the same overrides would train, without training it, and counts. FLOPs are twice "
            "the MACs; papers that say GFLOPs of a transformer often mean MACs. Activations are the memory that a "
            "training pass of one picture keeps for its backward pass, in dtype.",
            "backbone=NAME without experiment= is described in the setting that NAME was published in, if there is an "
            "experiments/published/NAME.yaml; experiment=null switches that off. No checkpoint is needed then: "
            "autoencoder=NAME stands for one that is yet to be trained, and a checkpoint comes before it.",
        ),
        examples=(
            ("ldmlab describe backbone=dit_xl_2", "DiT-XL/2 as published: 675 million parameters, 118.6 GMACs"),
            ("ldmlab describe backbone=unet", "the UNet in place of the DiT"),
            ("ldmlab describe backbone=sd_1 depth=1 --json", "the networks of Stable Diffusion 1 alone, for machines"),
            ("ldmlab describe experiment=shapes/dit", "the model of a study"),
        ),
        flags=(("--json", "the same as json=true"),),
    ),
    "import": Page(
        summary="bring a public checkpoint into ldmlab's format",
        synopsis="ldmlab import PATH [KEY=VALUE ...]",
        description=(
            "Recognises a file or a folder by its keys: Stable Diffusion 1.x, latent diffusion and its autoencoders, "
            "DiT, CLIP's text encoder, in their authors' layouts and in that of diffusers. Every tensor is used, or "
            "named with the reason why not; nothing in a file is run.",
            "A backbone alone needs an autoencoder_ckpt=PATH to become a model, and one that reads "
            "prompts a conditioner_ckpt=PATH. docs/checkpoints.md says what can be imported.",
        ),
        examples=(
            ("ldmlab import v1-5-pruned-emaonly.safetensors output=sd.safetensors", "Stable Diffusion, a single file"),
            ("ldmlab import stable-diffusion-v1-5/ half=true", "the same as a folder of diffusers"),
            (
                "ldmlab import DiT-XL-2-256x256.pt autoencoder_ckpt=sd-vae-ft-ema/",
                "DiT with the autoencoder it works on",
            ),
        ),
    ),
    "export": Page(
        summary="write a model as a folder that diffusers loads",
        synopsis="ldmlab export ckpt=PATH output=FOLDER [KEY=VALUE ...]",
        description=(
            "UNets that read CLIP's text become a StableDiffusionPipeline, class-conditional DiTs a DiTPipeline, "
            "autoencoders an AutoencoderKL or a VQModel. A model for which diffusers has no class is refused with the "
            "reason.",
        ),
        examples=(("ldmlab export ckpt=sd.safetensors output=sd half=true", "for StableDiffusionPipeline"),),
    ),
}

FLAGS = {
    "--cfg job": "print the composed config instead of running (also: hydra, all)",
    "--resolve": "with --cfg: fill in references between keys",
    "--info": "print how the config was composed (also: --info defaults, searchpath, ...)",
    "-m, --multirun": "run once for each combination of KEY=A,B,C",
    "--config-dir DIR": "a further folder of config groups, beside ldmlab's own",
    "-h, --help [GROUP[=OPTION]]": "this page; the options of a group; the keys of an option",
}

EXIT_STATUS = {
    "0": "done",
    "1": "a bug in ldmlab, with its trace",
    "2": "bad input, with one line that says what to mend",
    "130": "interrupted",
}

OVERVIEW = """\
ldmlab - an experiment platform for latent diffusion

Usage: ldmlab COMMAND [PROMPT ...] [KEY=VALUE ...] [FLAGS]

Commands:
{commands}

First steps:
  ldmlab sample "a small red circle left of a big blue square"
  ldmlab data dataset=shapes
  ldmlab train experiment=shapes/dit

Every command takes Hydra overrides: KEY=VALUE sets a key, GROUP=OPTION chooses a
component, GROUP.KEY=VALUE sets a key of it. `ldmlab COMMAND --help` lists them all.

Flags:
  -h, --help       this page
  --version        the version

Set LDMLAB_TRACE=1 to see the trace of every error.
"""


def overview() -> str:
    """The first page."""
    return OVERVIEW.format(commands=_table({name: page.summary for name, page in PAGES.items()}, 2).rstrip())


def page(command: str) -> str:
    """The page of a command."""
    entry = PAGES[command]
    sections = {
        "NAME": f"    ldmlab {command} - {entry.summary}\n",
        "SYNOPSIS": f"    {entry.synopsis}\n",
        "DESCRIPTION": "\n".join(_paragraph(text) for text in entry.description),
        "KEYS": _keys(command),
        "GROUPS": _groups(command),
        "FLAGS": _table(dict(entry.flags) | FLAGS),
        "EXAMPLES": "\n".join(f"    {line}\n        {meaning}\n" for line, meaning in entry.examples),
        "EXIT STATUS": _table(EXIT_STATUS),
    }
    return "\n".join(f"{title}\n{body}" for title, body in sections.items() if body)


def topic(command: str, name: str) -> str:
    """What a command's groups and options consist of.

    Args:
        command: whose page the topic belongs to.
        name: GROUP lists its options, GROUP=OPTION the keys of one.

    Raises:
        UserError: no such group or option.
    """
    group, _, option = name.partition("=")
    known = [each.name for each in catalogue.groups(command)]
    if group not in known:
        raise UserError(f"--help {name}: '{command}' has no group '{group}'{hint(group, known)}")
    names = _options(command, group)
    if not option:
        rows = {f"{group}={each}": catalogue.summary(group, each) for each in names}
        return f"{_table(rows)}\n{_paragraph(f'ldmlab {command} --help {group}=NAME lists the keys of an option.')}"
    if option not in names:
        raise UserError(f"--help {name}: group '{group}' has no option '{option}'{hint(option, names)}")
    rows = {f"{key.name}={key.default}": key.meaning for key in catalogue.option_keys(group, option)}
    inside = group != "experiment" and not catalogue.is_global(group, option)
    rows = {f"{group}.{key}" if inside else key: meaning for key, meaning in rows.items()}
    return f"{_paragraph(catalogue.summary(group, option))}\n{_table(rows)}"


def _keys(command: str) -> str:
    """The keys of the command, each with its default, its meaning, and the choice that brings it in."""
    return _table(
        {
            f"{key.name}={key.default}": key.meaning + (f"  [{key.where}]" if key.where else "")
            for key in catalogue.keys(command)
        }
    )


def _groups(command: str) -> str:
    rows = {}
    for group in catalogue.groups(command):
        options = _options(command, group.name) or ["yours"]
        names = [f"{option}*" if option == group.default else option for option in options]
        rows[f"{group.name}="] = " | ".join(names) + (f"  [{group.where}]" if group.where else "")
    footer = (
        "An asterisk marks the default. GROUP.KEY=VALUE sets a key of the chosen option: --help GROUP says what the "
        "options are, --help GROUP=OPTION what keys one has, and --cfg job shows all that are chosen."
    )
    return f"{_table(rows)}\n{_paragraph(footer)}" if rows else ""


def _options(command: str, group: str) -> list[str]:
    if group != "experiment":
        return catalogue.options(group)
    purpose = "train" if command == "describe" else command
    return [name for name in catalogue.options(group) if catalogue.command_of(name) == purpose]


def _paragraph(text: str) -> str:
    return indent(fill(text, WIDTH - 4), "    ") + "\n"


def _table(rows: dict[str, str], margin: int = 4) -> str:
    """Two columns; a left entry too wide for its column has the right one on the next line."""
    left = min(max(map(len, rows), default=0), 28) + 2
    lines = []
    for name, text in rows.items():
        body = fill(text, max(WIDTH - margin - left, 20)).replace("\n", "\n" + " " * (margin + left))
        head = " " * margin + name
        gap = "\n" + " " * (margin + left) if len(name) > left - 2 else " " * (left - len(name))
        lines.append(f"{head}{gap}{body}".rstrip())
    return "\n".join(lines) + "\n"
