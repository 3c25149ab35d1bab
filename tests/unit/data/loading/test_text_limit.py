import logging
from dataclasses import replace

import pytest

from glamm.config.data import LoaderConfig, MixtureConfig
from glamm.config.model import ModelConfig
from glamm.data.loading.collate import SamplePreprocessor
from glamm.data.loading.datamodule import GLaMMDataModule
from glamm.data.loading.text_limit import fitting_streams
from glamm.data.shards.reader import ShardReader
from glamm.errors import DataError
from glamm.structures.sample import Target, Turn
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.data import ShardWriter, caption, grounded, jpeg, referring

TOKENIZER = embedded_tokenizer()
CONFIG = ModelConfig.tiny(vocab_size=len(TOKENIZER))
LONG = {"words": "lorem ipsum " * 1500, "one_word": "x" * 9000, "no_spaces": "語" * 3000}
LIMIT = 961  # 1024 positions; the image takes 64 of them and counts as one token


def answering(text, *, seed):
    return replace(caption(seed=seed), turns=(Turn("user", None), Turn("assistant", text)))


def write(folder, texts):
    writer = ShardWriter(folder, shard_bytes=1 << 20)
    for seed, text in enumerate(texts):
        writer.add((answering(text, seed=seed),), jpeg(seed=seed))
    writer.close()


def make_preprocessor():
    return SamplePreprocessor(
        model_config=CONFIG, tokenizer=TOKENIZER, seed=0, flip_probability=0.0
    )


def module(shards, *, num_workers=0, batch_size=4):
    return GLaMMDataModule(
        shards,
        model_config=CONFIG,
        tokenizer=TOKENIZER,
        config=LoaderConfig(
            batch_size=batch_size,
            num_workers=num_workers,
            length_bucket_steps=16,
            mixture=MixtureConfig(dataset_weights={}),
        ),
        seed=0,
        steps_per_epoch=30,
    )


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("reads_all", [True, False], ids=["all", "by_words"])
def test_long_texts_are_left_out_and_counted_once(tmp_path, caplog, text, reads_all):
    write(tmp_path / "train", ["short", text, "short too", text, text])
    reader = ShardReader(tmp_path / "train")

    with caplog.at_level(logging.WARNING):
        [stream] = fitting_streams(reader, make_preprocessor(), reads_all=reads_all)

    assert stream.entries[:, 0].tolist() == [0, 2]
    assert caplog.messages == [
        f"train, toy: 3 of 5 samples of image_captioning are left out: their texts are longer than the {LIMIT} tokens "
        "that the model has for text"
    ]


def test_conversations_that_lose_rounds_are_counted(tmp_path, caplog):
    turns = [Turn("user", "What?"), Turn("assistant", "word " * 100)]
    writer = ShardWriter(tmp_path / "train", shard_bytes=1 << 20)
    for seed, num_rounds in enumerate((1, 2, 40)):
        sample = replace(caption(seed=seed), turns=tuple(turns * num_rounds))
        writer.add((sample,), jpeg(seed=seed))
    writer.close()
    preprocessor = make_preprocessor()

    with caplog.at_level(logging.WARNING):
        [stream] = fitting_streams(ShardReader(tmp_path / "train"), preprocessor, reads_all=False)

    assert len(stream) == 3
    assert caplog.messages == [
        "train, toy: 1 of 3 samples of image_captioning lose rounds at their end: together they are longer than the "
        f"{LIMIT} tokens that the model has for text"
    ]


def test_streams_of_texts_that_fit_are_as_they_were(tmp_path, caplog):
    write(tmp_path / "train", ["short", "word " * 150])
    reader = ShardReader(tmp_path / "train")

    streams = list(fitting_streams(reader, make_preprocessor(), reads_all=True))

    assert [stream.entries.tolist() for stream in streams] == [
        stream.entries.tolist() for stream in reader.streams
    ]
    assert caplog.messages == []


def test_expressions_that_are_too_long_are_counted(tmp_path, caplog):
    targets = (Target("cup", (0,)), Target(LONG["words"], (1,)), Target("plate", (5,)))
    writer = ShardWriter(tmp_path / "train", shard_bytes=1 << 20)
    for seed in range(2):
        writer.add((replace(referring(seed=seed), targets=targets),), jpeg(seed=seed))
    writer.close()
    preprocessor = make_preprocessor()

    with caplog.at_level(logging.WARNING):
        [stream] = fitting_streams(ShardReader(tmp_path / "train"), preprocessor, reads_all=False)

    assert len(stream) == 2
    assert caplog.messages == [
        "train, toy: 2 expressions, classes or regions of 2 samples of referring_segmentation are left out: each is "
        f"longer than the {LIMIT} tokens that the model has for text"
    ]


def test_training_goes_on_with_the_others(tmp_path, caplog):
    write(tmp_path / "train", ["short answer"] * 8 + [LONG["words"]] * 4)

    batches = list(module(tmp_path).train_dataloader())

    assert [batch.num_samples for batch in batches] == [4] * 30
    assert len(caplog.messages) == 1
    assert all(batch.input_ids.shape[1] < LIMIT for batch in batches)


def test_validation_goes_on_with_the_others(tmp_path, caplog):
    write(tmp_path / "train", ["short answer"])
    writer = ShardWriter(tmp_path / "val", shard_bytes=1 << 20)
    for seed in range(6):
        sample = grounded(seed=seed)
        if seed < 4:
            turns = (Turn("user", None), replace(sample.turns[1], text=LONG["words"], spans=()))
            sample = replace(sample, turns=turns)
        writer.add((sample,), jpeg(seed=seed))
    writer.close()

    [loader] = module(tmp_path, batch_size=2).val_dataloader()
    names = [name for batch in loader for name in batch.sample_ids]

    assert names == ["toy/train/4/talk", "toy/train/5/talk"]
    assert "val, toy: 4 of 6 samples of grounded_conversation" in caplog.messages[0]


def test_nothing_that_fits_is_an_error_before_the_first_step(tmp_path):
    write(tmp_path / "train", [LONG["words"]] * 3)

    with pytest.raises(DataError, match=rf"train: no text fits into the {LIMIT} tokens"):
        module(tmp_path).train_dataloader()


def test_wording_that_is_too_long_is_replaced_by_another_sample(tmp_path, monkeypatch):
    """Questions differ in length: a text at the limit fits with one wording and not with the next."""
    write(tmp_path / "train", ["short answer", "at the limit", "short too"])
    encode = SamplePreprocessor._encode

    def encode_unless_at_the_limit(self, sample, rng):
        return None if sample.turns[1].text == "at the limit" else encode(self, sample, rng)

    monkeypatch.setattr(SamplePreprocessor, "_encode", encode_unless_at_the_limit)
    loaders = [module(tmp_path).train_dataloader() for _ in range(2)]

    first, second = ([batch.sample_ids for batch in loader] for loader in loaders)
    assert first == second
    assert {name for names in first for name in names} == {
        "toy/train/0/caption",
        "toy/train/2/caption",
    }
    assert all(len(names) == 4 for names in first)
