"""An image's samples as bytes: msgpack of plain values, never a pickle."""

from typing import Any

import msgpack

from glamm.errors import DataError
from glamm.structures.sample import (
    SCHEMA_VERSION,
    ImageRef,
    Mask,
    Obj,
    Sample,
    Span,
    SpanKind,
    Target,
    Task,
    Turn,
)


def pack(samples: tuple[Sample, ...]) -> bytes:
    """Write samples of one image; objects and image are stored once.

    Args:
        samples: All with the same image and objects.
    """
    first = samples[0]
    row = {
        "schema": SCHEMA_VERSION,
        "dataset": first.dataset,
        "split": first.split,
        "image": [first.image.key, list(first.image.size), first.image.license],
        "objects": [_pack_object(obj) for obj in first.objects],
        "samples": [_pack_sample(sample) for sample in samples],
    }
    return msgpack.Packer().pack(row)


def unpack(data: bytes, *, image_bytes: bytes) -> tuple[Sample, ...]:
    """Undo `pack`.

    Args:
        data: What `pack` wrote.
        image_bytes: The encoded image, put into every sample's `image.data`.

    Raises:
        DataError: Bytes of another schema, or none of ours.
    """
    try:
        row = msgpack.unpackb(data)
        if row["schema"] != SCHEMA_VERSION:
            raise DataError(
                f"shards have schema {row['schema']}, this version reads {SCHEMA_VERSION}: run glamm data prepare again"
            )
        key, size, licence = row["image"]
        image = ImageRef(key=key, size=(size[0], size[1]), data=image_bytes, license=licence)
        objects = tuple(_unpack_object(value) for value in row["objects"])
        return tuple(
            _unpack_sample(value, image, objects, dataset=row["dataset"], split=row["split"])
            for value in row["samples"]
        )
    except (ValueError, KeyError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise DataError(
            f"a sample in the shards is damaged ({error}): run glamm data prepare again"
        ) from error


def _pack_object(obj: Obj) -> list[Any]:
    mask = [list(obj.mask.size), obj.mask.counts] if obj.mask else None
    return [
        obj.id,
        list(obj.box),
        mask,
        obj.labels,
        obj.attributes,
        obj.score,
        obj.depth,
        obj.source,
        obj.is_crowd,
    ]


def _unpack_object(value: list[Any]) -> Obj:
    number, box, mask, labels, attributes, score, depth, source, is_crowd = value
    return Obj(
        id=number,
        box=(box[0], box[1], box[2], box[3]),
        mask=Mask((mask[0][0], mask[0][1]), mask[1]) if mask else None,
        labels=tuple(labels),
        attributes=tuple(attributes),
        score=score,
        depth=depth,
        source=source,
        is_crowd=is_crowd,
    )


def _pack_sample(sample: Sample) -> list[Any]:
    turns = [
        [turn.role, turn.text, [[s.start, s.end, s.kind.value, s.object_ids] for s in turn.spans]]
        for turn in sample.turns
    ]
    targets = [[target.text, target.object_ids] for target in sample.targets]
    return [sample.sample_id, sample.task.value, turns, targets, sample.meta]


def _unpack_sample(
    value: list[Any], image: ImageRef, objects: tuple[Obj, ...], *, dataset: str, split: str
) -> Sample:
    sample_id, task, turns, targets, meta = value
    return Sample(
        sample_id=sample_id,
        task=Task(task),
        dataset=dataset,
        split=split,
        image=image,
        objects=objects,
        turns=tuple(
            Turn(
                role,
                text,
                tuple(
                    Span(start, end, SpanKind(kind), tuple(ids)) for start, end, kind, ids in spans
                ),
            )
            for role, text, spans in turns
        ),
        targets=tuple(Target(text, tuple(ids)) for text, ids in targets),
        meta=meta,
    )
