"""`glamm convert`: weights of the release, of CLIP, SAM and LLaMA, and ours, into each other's layout."""

from pathlib import Path
from typing import Annotated, Literal

import torch
from cyclopts import Parameter
from rich.console import Console

from glamm.checkpoints.convert import convert as convert_weights
from glamm.checkpoints.load_foreign import Sources


def convert(  # noqa: PLR0913 - a model may be in five places
    source: Path,
    out: Path,
    *,
    to: Literal["glamm", "release"] = "glamm",
    clip: Path | None = None,
    sam: Path | None = None,
    lora: Path | None = None,
    config: Path | None = None,
    keep_lora_apart: Annotated[bool, Parameter(negative=())] = False,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    init_missing: Annotated[bool, Parameter(negative=())] = False,
    shard_mebibytes: int = 5120,
) -> None:
    """Read weights, write them, read them back and check that the model is the same.

    Args:
        source: A folder or file of the release (.bin, .pt, safetensors; whole or in shards), a LLaMA's folder, or ours.
        out: A new folder.
        to: Whose layout to write.
        clip: Folder of CLIP, for weights without it.
        sam: SAM's .pth file, for weights without it.
        lora: A peft folder.
        config: Folder with config.json and the tokenizer, for a source that is a single file elsewhere.
        keep_lora_apart: Write low-rank weights beside the model instead of adding them to it.
        dtype: Of the result; the files' own unless given.
        init_missing: Let the projector, the region encoder and the text-to-mask projector be random where no file holds
            them.
        shard_mebibytes: Largest file of the release's layout.
    """
    done = convert_weights(
        Sources(source, clip=clip, sam=sam, lora=lora, config=config),
        out,
        to_release=to == "release",
        merges_lora=not keep_lora_apart,
        dtype=getattr(torch, dtype) if dtype else None,
        init_missing=init_missing,
        shard_bytes=shard_mebibytes << 20,
    )
    console = Console(soft_wrap=True, highlight=False)
    for file in done.files:
        console.print(f"{file.sha256}  {file.num_bytes:>15,} bytes  {file.path}", markup=False)
    console.print(f"{done.num_parameters:,} parameters in {done.dtype}")
    if done.initialized:
        console.print(f"random, to be trained: {len(done.initialized)} tensors")
        console.print("\n".join(done.initialized), markup=False)
    console.print("read back: logits and masks of a probe are equal")
