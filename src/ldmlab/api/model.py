"""A trained model in a program or a notebook: `ldmlab.load` gives one."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from ldmlab.api import drawn
from ldmlab.api.arguments import Prompts, as_keys, as_texts, files_of
from ldmlab.api.attention import AttentionMaps
from ldmlab.api.configurable import Configurable, one_at_a_time
from ldmlab.api.edits import Edits
from ldmlab.api.figures import Figures
from ldmlab.api.ready import ready
from ldmlab.configs.build import build_method, method_settings
from ldmlab.configs.calls import Overrides, chosen
from ldmlab.configs.errors import as_user_error
from ldmlab.configs.evaluation import evaluate_from
from ldmlab.drawing.prompt_file import picture_count
from ldmlab.drawing.prompted import check_prompts, require_prompted
from ldmlab.drawing.records import portable
from ldmlab.editing.maps.map_groups import By
from ldmlab.pictures.gallery import Pictures
from ldmlab.pictures.given import GivenMask, GivenPicture, as_mask, as_picture, name_of
from ldmlab.pictures.reading import require_same_size
from ldmlab.precision import pick_precision
from ldmlab.studio.attention import MapRequest
from ldmlab.studio.edits import EditRecord, edit_task


class Model(Configurable):
    """A trained model and how it computes where a call does not say otherwise.

    Every setting that a method has no argument for is one of `overrides`: those of the command of the same name, as
    `["sampler.eta=1"]` or `{"sampler.eta": 1}`. An argument that is left at None is what the command's yaml in conf/
    says. So pictures are those of the command, to the last bit.

    `ldmlab.load` makes one.
    """

    @one_at_a_time
    def sample(
        self,
        prompts: Prompts | None = None,
        *,
        n: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        guidance: str | None = None,
        negative_prompt: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        overrides: Overrides = (),
    ) -> Pictures:
        """Draw pictures.

        Args:
            prompts: what they show; None for a model that reads nothing.
            n: how many in all, dealt to the prompts in turn, a multiple of their number; None for one a prompt.
            seed: picture i draws its noise from (seed, i), whatever n is.
            steps: of the sampler.
            guidance_scale: 1 is neutral.
            sampler: the name of an option, such as "heun".
            guidance: the name of an option, such as "interval".
            negative_prompt: what guidance leads away from.
            device: for this call.
            precision: for this call.
            overrides: further settings of `ldmlab sample`.

        Raises:
            ValueError: in one line, as the command says it.
        """
        loaded = self._drawing_model()
        require_prompted(loaded)
        texts = as_texts(prompts, loaded)
        keys = as_keys(seed=seed, steps=steps, guidance_scale=guidance_scale, sampler=sampler, guidance=guidance)
        own = {"n": len(texts) if n is None else n, "negative_prompt": negative_prompt}
        cfg = self._configured("sample", {"prompts": texts, **own, **keys}, overrides, device, precision)
        count = picture_count(cfg.n, texts, len(texts))
        check_prompts(loaded.model, texts)
        dealt = [texts[index % len(texts)] for index in range(count)]
        return drawn.samples(ready(self._copies, cfg, count), dealt, cfg.negative_prompt)

    @one_at_a_time
    def edit(
        self,
        source: str | None = None,
        target: str | None = None,
        *,
        image: GivenPicture | None = None,
        mask: GivenMask | None = None,
        method: str | None = None,
        n: int = 1,
        seed: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        guidance: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        overrides: Overrides = (),
        **settings: Any,
    ) -> Edits:
        """Change a picture, drawn or given, and keep the rest of it.

        Args:
            source: prompt of the picture before the edit.
            target: prompt of the edited one; None for the source's, where words are only weighed anew.
            image: the picture to edit; None draws one from `source`.
            mask: of the picture's size, white or True where it may change.
            method: the name of an option, such as "inpaint"; None for prompt-to-prompt.
            n: seeds to try.
            seed: see `sample`.
            steps: see `sample`.
            guidance_scale: see `sample`.
            sampler: see `sample`.
            guidance: see `sample`.
            device: see `sample`.
            precision: see `sample`.
            overrides: further settings of `ldmlab edit`.
            **settings: the method's own, such as `tau=0.6` or `canvas=[64, 96]`, and `inversion="null_text"`.

        Raises:
            ValueError: in one line, as the command says it.
        """
        self._drawing_model()
        keys = as_keys(seed=seed, steps=steps, guidance_scale=guidance_scale, sampler=sampler, guidance=guidance)
        files, in_memory = files_of(image=image, mask=mask)
        own: dict[str, Any] = {"method": method, "source": source, "target": target, "n": n, **files}
        own |= {name if name == "inversion" else f"method.{name}": value for name, value in settings.items()}
        cfg = self._configured("edit", {**own, **keys}, overrides, device, precision, in_memory)
        with as_user_error():
            edit_method = build_method(cfg)
        given = {"source": source, "target": target, "image": image, "mask": mask}
        edit_method.check({name for name, value in given.items() if value is not None})
        picture = None if image is None else as_picture(image)
        marked = None if mask is None else as_mask(mask)
        if picture is not None and marked is not None:
            require_same_size(picture, marked, f"mask={mask}" if "mask" in files else "mask")
        made = ready(self._copies, cfg, cfg.n)
        task = edit_task(made.model, made.drawing, edit_method, source, target, picture, marked)
        names = (portable(name_of(image, picture)), portable(name_of(mask, marked)))
        return drawn.edits(edit_method, task, EditRecord(made.record, method_settings(cfg), source, target, *names))

    @one_at_a_time
    def attention(
        self,
        prompt: str,
        *,
        words: Sequence[str] | None = None,
        by: By | None = None,
        n: int = 1,
        seed: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        guidance: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        overrides: Overrides = (),
    ) -> AttentionMaps:
        """Draw pictures and see where they attend to the words of their prompt.

        Args:
            prompt: what they show.
            words: words or phrases of it; None for every word.
            by: "step" or "site": also maps of each range of steps, or of each attention site.
            n: pictures.
            seed: see `sample`.
            steps: see `sample`.
            guidance_scale: see `sample`.
            sampler: see `sample`.
            guidance: see `sample`.
            device: see `sample`.
            precision: see `sample`.
            overrides: further settings of `ldmlab attention`, such as `{"sites": ["blocks.2.cross"]}`.

        Raises:
            ValueError: in one line, as the command says it.
        """
        loaded = self._drawing_model()
        keys = as_keys(seed=seed, steps=steps, guidance_scale=guidance_scale, sampler=sampler, guidance=guidance)
        own = {"prompt": prompt, "words": words, "by": by, "n": n}
        cfg = self._configured("attention", {**own, **keys}, overrides, device, precision)
        request = MapRequest(prompt, words, cfg.by, cfg.step_bins, cfg.sites, cfg.half_maps)
        request.columns(loaded.model, f"ckpt={loaded.path}")
        return drawn.attention(ready(self._copies, cfg, cfg.n), request)

    @one_at_a_time
    def evaluate(
        self,
        path: str | PathLike[str] | None = None,
        *,
        n: int | None = None,
        metric: str | Sequence[str] | None = None,
        extractor: str | None = None,
        protocol: str | None = None,
        reference: str | PathLike[str] | None = None,
        seed: int | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        guidance: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        overrides: Overrides = (),
    ) -> Figures:
        """Measure the model on held-out samples.

        Args:
            path: a dataset with a `heldout/` in it; None for what the model was trained on.
            n: samples; None for 1000.
            metric: the name of an option or several, such as "vlb"; None for what the model is for.
            extractor: the network whose features are compared; only "inception" gives the FID that papers report.
            protocol: the name of settings as a paper has them, such as "imagenet256"; those that are given count more.
            reference: a folder or an .npz file of pictures to compare with; None for the held-out ones.
            seed: decides the noise.
            steps: see `sample`.
            guidance_scale: see `sample`.
            sampler: see `sample`.
            guidance: see `sample`.
            device: see `sample`.
            precision: see `sample`.
            overrides: further settings of `ldmlab evaluate`.

        Raises:
            ValueError: in one line, as the command says it.
        """
        keys = as_keys(seed=seed, steps=steps, guidance_scale=guidance_scale, sampler=sampler, guidance=guidance)
        where = {"reference": reference, "data.path": path, "n": n}
        own = {"metric": metric, "extractor": extractor, "protocol": protocol, **where}
        cfg = self._configured("evaluate", {**own, **keys}, overrides, device, precision)
        cfg.ckpt = self.name
        with as_user_error():
            loaded = self._copies.computing(pick_precision(cfg.precision, cfg.device), cfg.compile)
            return Figures(evaluate_from(cfg, loaded, chosen({**own, **keys}, overrides)))
