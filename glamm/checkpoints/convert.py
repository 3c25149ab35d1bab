"""A conversion from end to end: read, write, read back, compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from glamm.allocator import give_back_freed_memory
from glamm.checkpoints.load_foreign import LoadedModel, Sources, load_sources, merged
from glamm.checkpoints.model_card import write_card
from glamm.checkpoints.store import file_sha256, load_model, save_model
from glamm.checkpoints.write_release import (
    ADAPTER_FOLDER,
    CLIP_FOLDER,
    DEFAULT_SHARD_BYTES,
    write_adapter,
    write_release,
)
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.structures.batch import Batch
from glamm.structures.ids import IGNORE_LABEL, IMAGE_PLACEHOLDER_ID
from glamm.structures.lineage import Lineage


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of the result.

    Args:
        path: Where.
        num_bytes: Its size.
        sha256: Its checksum.
    """

    path: Path
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was done.

    Args:
        files: All weight files that were written.
        num_parameters: Of the model.
        dtype: Of its weights.
        initialized: Tensors that are random because no file had them.
        probe: Largest absolute value of what was compared, by name: a probe of zeros would prove nothing.
    """

    files: tuple[WrittenFile, ...]
    num_parameters: int
    dtype: str
    initialized: tuple[str, ...]
    probe: Mapping[str, float]


def convert(
    sources: Sources,
    out: Path,
    *,
    to_release: bool = False,
    merges_lora: bool = True,
    dtype: torch.dtype | None = None,
    init_missing: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
) -> Conversion:
    """Bring a model into our layout or the release's, and prove that it is the same model.

    The result is read back: on a probe, logits and masks must be equal to the last bit.

    Args:
        sources: What to read.
        out: A folder that is empty or not there.
        to_release: Write the release's names instead of ours.
        merges_lora: Add low-rank weights to the model; False writes them beside it, in `adapter`.
        dtype: Of the result; None keeps the files'.
        init_missing: As in `load_sources`.
        shard_bytes: As in `write_release`.

    Raises:
        CheckpointError: Something cannot be read, or is not the same when it is read back.
        HostError: The disk is full.
    """
    if out.exists() and any(out.iterdir()):
        raise CheckpointError(f"{out}: is not empty. Name a new folder.")
    loaded = load_sources(sources, dtype=dtype, init_missing=init_missing)
    if merges_lora:
        loaded = merged(loaded)
    before = probe(loaded.model)
    files = _write(loaded, out, to_release=to_release, shard_bytes=shard_bytes)
    done = Conversion(
        files=tuple(WrittenFile(one, one.stat().st_size, file_sha256(one)) for one in files),
        num_parameters=sum(one.numel() for one in loaded.model.parameters()),
        dtype=str(next(loaded.model.parameters()).dtype).removeprefix("torch."),
        initialized=loaded.initialized,
        probe={name: float(value.abs().max()) for name, value in before.items()},
    )
    write_card(out, loaded.model.config, done, origin=[str(one) for one in loaded.files])
    kind = next(loaded.model.parameters()).dtype
    del loaded  # one model at a time
    give_back_freed_memory()
    _compare(before, probe(_read_back(out, to_release=to_release).to(kind)), out)
    return done


def _write(loaded: LoadedModel, out: Path, *, to_release: bool, shard_bytes: int) -> list[Path]:
    if to_release:
        files = write_release(loaded.model, loaded.tokenizer, out, shard_bytes=shard_bytes)
    else:
        lineage = Lineage(converted_from={str(file): file_sha256(file) for file in loaded.files})
        save_model(loaded.model, out, tokenizer_model=loaded.tokenizer.model, lineage=lineage)
        files = [out / "model.safetensors"]
    if loaded.lora is not None:
        files.append(write_adapter(loaded.lora, out / ADAPTER_FOLDER))
    return files


def _read_back(out: Path, *, to_release: bool) -> GLaMM:
    if to_release:
        return load_sources(Sources(out, clip=out / CLIP_FOLDER)).model
    return load_model(out)[0]


@torch.inference_mode()
def probe(model: GLaMM) -> dict[str, Tensor]:
    """Run every part of a model on fixed random input.

    Args:
        model: In evaluation mode.

    Returns:
        Logits of a prompt with a region in it, and low-resolution masks of its last two states.
    """
    random = torch.Generator().manual_seed(0)
    config = model.config
    side, square = config.global_encoder.image_size, config.grounding_encoder.image_size
    tokens = config.special_tokens
    ids = torch.tensor([[tokens.bos, IMAGE_PLACEHOLDER_ID, tokens.bbox, 5, tokens.seg, tokens.eos]])

    def pixels(size: int) -> Tensor:
        return torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8, generator=random)

    batch = Batch(
        global_pixels=pixels(side),
        grounding_pixels=pixels(square),
        input_ids=ids,
        labels=torch.full_like(ids, IGNORE_LABEL),
        attention_mask=torch.ones_like(ids, dtype=torch.bool),
        image_index=torch.zeros(1, dtype=torch.long),
        boxes_xyxy_unit=(torch.tensor([[0.1, 0.2, 0.7, 0.9]]),),
        masks=(),
        resized_sizes=((square, square),),
        original_sizes=((square, square),),
        sample_ids=("probe",),
    )
    prompt = model.build_inputs(batch, model.encode_image(batch.global_pixels))
    states = model.language_model.model(inputs_embeds=prompt.embeddings).last_hidden_state
    embeddings = model.encode_grounding(pixels(square), ((square, square),))
    masks = model.decode_seg_states(states[0, -2:], embeddings, torch.zeros(2, dtype=torch.long))
    return {"logits": model.language_model.lm_head(states).float(), "masks": masks.float()}


def _compare(before: Mapping[str, Tensor], after: Mapping[str, Tensor], out: Path) -> None:
    for name, value in before.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{out}: the {name} of the probe are not all finite numbers")
        if not torch.equal(value, after[name]):
            worst = float((value - after[name]).abs().max())
            raise CheckpointError(
                f"{out}: read back, the {name} of the probe differ by {worst:.2g}: do not use this folder"
            )
