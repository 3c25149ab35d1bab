"""`glamm convert`: convert weights of the release, of published models and of our folders into another layout."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from cyclopts import Parameter
from rich.console import Console

from glamm.checkpoints.convert import Conversion
from glamm.checkpoints.convert import convert as convert_weights
from glamm.checkpoints.sources import Sources
from glamm.cli.progress import progress_bar
from glamm.config.dtype import DTypeName


def convert(  # noqa: PLR0913 - a model may be spread over five files
    source: Path,
    out: Path,
    *,
    to: Literal["glamm", "release"] = "glamm",
    clip: Path | None = None,
    sam: Path | None = None,
    lora: Path | None = None,
    config: Path | None = None,
    replace: tuple[str, ...] = (),
    keep_lora_apart: Annotated[bool, Parameter(negative=())] = False,
    dtype: DTypeName | None = None,
    init_missing: Annotated[bool, Parameter(negative=())] = False,
    shard_mebibytes: int = 5120,
) -> None:
    """Read weights, write them in another layout, read them back and check that the model is the same.

    Args:
        source: A folder or file of the release (.bin, .pt, safetensors; one file or shards), a language model (LLaMA,
            Qwen 2 or 3: a folder of transformers or a .gguf file), or a model folder of ours.
        out: A new folder.
        to: The layout to write.
        clip: Folder of CLIP or SigLIP. Its weights are used only if the source has none of their part.
        sam: SAM, a .pth file of segment-anything or a folder of transformers. Its weights are used only for parts of which
            the source has none.
        lora: A folder of peft.
        config: Folder with config.json and the tokenizer, for a source that is a single file elsewhere.
        replace: A part that is taken from --clip or --sam although the source has it: global_encoder, grounding_encoder,
            prompt_encoder or mask_decoder. Can be repeated.
        keep_lora_apart: Write LoRA weights to the subfolder `adapter` instead of merging them.
        dtype: Type of the written weights; that of the source by default.
        init_missing: Initialize the image projector, the region encoder and the text-to-mask projector randomly if no
            file contains them.
        shard_mebibytes: Largest file in the layout of the release.
    """
    with progress_bar(counts_bytes=True) as progress:
        conversion = convert_weights(
            Sources(source, clip=clip, sam=sam, lora=lora, config=config, replaced=replace),
            out,
            to_release=to == "release",
            merges_lora=not keep_lora_apart,
            dtype=getattr(torch, dtype) if dtype else None,
            init_missing=init_missing,
            shard_bytes=shard_mebibytes << 20,
            progress=progress,
        )
    console = Console(soft_wrap=True, highlight=False)
    for line in _origins(conversion, [path for path in (clip, sam) if path]):
        console.print(line, markup=False)
    for file in conversion.files:
        console.print(f"{file.sha256}  {file.num_bytes:>15,} bytes  {file.path}", markup=False)
    console.print(f"{conversion.num_parameters:,} parameters in {conversion.dtype}")
    if conversion.initialized:
        console.print("random: " + ", ".join(conversion.initialized), markup=False)
    console.print("read back: logits and masks of a probe are equal")
    for line in conversion.checks:
        console.print(line, markup=False)


def _origins(conversion: Conversion, offered: Sequence[Path]) -> Iterator[str]:
    """Which part came from where, which files were not needed, and which keys nobody knows."""
    for origin in conversion.origins:
        yield f"{origin.part}: {origin.num_tensors} tensors from {origin.source}"
    if conversion.lora:
        yield f"LoRA: {conversion.lora}"
    random = Counter(name.partition(".")[0] for name in conversion.initialized)
    for part, count in random.items():
        yield f"{part}: {count} tensors random, to be trained"
    used = {origin.source for origin in conversion.origins}
    for path in offered:
        if not any(path in (source, source.parent) for source in used):
            yield f"{path}: not used, its parts are in the source (--replace PART takes one from here)"
    for key in conversion.unused_keys:
        yield f"config.json: {key} is not used: neither this project nor transformers knows it"
