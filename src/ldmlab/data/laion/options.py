"""The settings of a download in the words of img2dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ldmlab.data.laion.columns import Columns
from ldmlab.data.laion.url_list import UrlList

if TYPE_CHECKING:
    from ldmlab.data.laion.download import UrlDownload

QUALITY = {"jpg": 95, "webp": 95, "png": 6}
"""Of a JPEG or a WebP from 0 to 100; of a PNG, how hard it is compressed, from 0 to 9."""
RESIZE_MODES = ("no", "keep_ratio", "center_crop", "border", "keep_ratio_largest")
OURS = {
    *("url_list", "input_format", "output_folder", "output_format", "number_sample_per_shard", "processes_count"),
    *("url_col", "caption_col", "save_additional_columns", "image_size", "resize_mode", "resize_only_if_bigger"),
    *("min_image_size", "max_aspect_ratio", "encode_format", "encode_quality", "thread_count", "timeout", "retries"),
    *("incremental_mode", "oom_shard_count", "distributor", "enable_wandb"),
}
"""Options of img2dataset that have a key of their own here, or cannot be chosen."""


def check_settings(settings: UrlDownload) -> None:
    """Refuse values that are out of range.

    Raises:
        ValueError: naming key, value and fix.
    """
    for key, choices in {"resize_mode": RESIZE_MODES, "image_format": tuple(QUALITY)}.items():
        if getattr(settings, key) not in choices:
            raise ValueError(f"dataset.{key}={getattr(settings, key)} is unknown; use one of {', '.join(choices)}")
    for key, least in {"image_size": 1, "threads": 1, "timeout": 1, "retries": 0, "min_image_size": 0}.items():
        if getattr(settings, key) < least:
            raise ValueError(f"dataset.{key}={getattr(settings, key)} is too small; give {least} or more")
    most = 9 if settings.image_format == "png" else 100
    if settings.quality is not None and not 0 <= settings.quality <= most:
        raise ValueError(f"dataset.quality={settings.quality}: of a {settings.image_format} it is from 0 to {most}")
    if taken := OURS & settings.options.keys():
        raise ValueError(f"dataset.options.{min(taken)}: is set by ldmlab, see `ldmlab data --help dataset=laion`")


def options_of(settings: UrlDownload, urls: UrlList, columns: Columns, shard_size: int) -> dict[str, Any]:
    """What img2dataset is told, in its names."""
    ratio = {} if settings.max_aspect_ratio is None else {"max_aspect_ratio": settings.max_aspect_ratio}
    return {
        "url_list": str(urls.path),
        "input_format": urls.format,
        "output_format": "webdataset",
        "number_sample_per_shard": shard_size,
        "url_col": columns.url,
        "caption_col": columns.caption,
        "save_additional_columns": list(columns.more) or None,
        "image_size": settings.image_size,
        "resize_mode": settings.resize_mode,
        "resize_only_if_bigger": settings.resize_only_if_bigger,
        "min_image_size": settings.min_image_size,
        "encode_format": settings.image_format,
        "encode_quality": QUALITY[settings.image_format] if settings.quality is None else settings.quality,
        "thread_count": settings.threads,
        "timeout": settings.timeout,
        "retries": settings.retries,
        **ratio,
        **settings.options,
    }
