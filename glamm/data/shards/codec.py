"""Encodes the samples of an image as bytes: msgpack of plain values, never a pickle."""

from typing import Any

import msgpack

from glamm.errors import DataError
from glamm.structures.sample import (
    SCHEMA_VERSION,
    Frame,
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
    """Encode the samples of one image; the image's description and the objects are stored once.

    Args:
        samples: At least one; all have the same image and objects.
    """
    first = samples[0]
    image = first.image
    record = {
        "schema": SCHEMA_VERSION,
        "dataset": first.dataset,
        "split": first.split,
        "image": [image.key, list(image.size), image.frame.value, image.license],
        "objects": [_pack_object(obj) for obj in first.objects],
        "samples": [_pack_sample(sample) for sample in samples],
    }
    return msgpack.Packer().pack(record)


def unpack(data: bytes, *, image_bytes: bytes) -> tuple[Sample, ...]:
    """Decode the samples of one image.

    Args:
        data: The result of `pack`.
        image_bytes: The encoded image; becomes `image.data` of every sample.

    Raises:
        DataError: The bytes are damaged or have another schema version.
    """
    try:
        record = msgpack.unpackb(data)
        if record["schema"] != SCHEMA_VERSION:
            raise DataError(
                f"the shards have schema {record['schema']}, and this glamm reads {SCHEMA_VERSION}: "
                "run glamm data prepare again"
            )
        key, size, frame, license_ = record["image"]
        image = ImageRef(
            key=key,
            size=(size[0], size[1]),
            frame=Frame(frame),
            data=image_bytes,
            license=license_,
        )
        objects = tuple(_unpack_object(value) for value in record["objects"])
        return tuple(
            _unpack_sample(value, image, objects, dataset=record["dataset"], split=record["split"])
            for value in record["samples"]
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
    object_id, box, mask, labels, attributes, score, depth, source, is_crowd = value
    return Obj(
        id=object_id,
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
