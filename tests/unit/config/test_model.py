import pytest
from pydantic import ValidationError

from glamm.config.model import CompatConfig, ModelConfig, SpecialTokens


@pytest.mark.parametrize("size", ["tiny", "small", "7b"])
def test_every_size_survives_a_round_trip_through_json(size: str) -> None:
    config = ModelConfig.of_size(size, vocab_size=1031)

    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_special_tokens_are_the_release_ids_for_its_vocabulary() -> None:
    tokens = SpecialTokens.at_end_of(32007)

    assert (tokens.bbox, tokens.seg) == (32002, 32004)


def test_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="hidden_sise"):
        ModelConfig.tiny(vocab_size=64).global_encoder.model_validate({"hidden_sise": 3})


def test_levels_that_do_not_fit_are_refused() -> None:
    config = ModelConfig.tiny(vocab_size=64).model_dump()
    config["region_encoder"]["level_step"] = 3

    with pytest.raises(ValidationError, match=r"lower region_encoder\.level_step"):
        ModelConfig.model_validate(config)


def test_token_outside_the_vocabulary_is_refused() -> None:
    config = ModelConfig.tiny(vocab_size=64).model_dump()
    config["special_tokens"]["seg"] = 64

    with pytest.raises(ValidationError, match="token id 64 is outside the vocabulary of 64"):
        ModelConfig.model_validate(config)


def test_only_the_paper_size_keeps_the_quirks() -> None:
    sizes = {name: ModelConfig.of_size(name, vocab_size=64) for name in ("tiny", "small", "7b")}

    assert {name: config.compat for name, config in sizes.items()} == {
        "tiny": CompatConfig(),
        "small": CompatConfig(),
        "7b": CompatConfig(roi_base_size=224, crops_global_image=True, rounds_regions_to_bf16=True),
    }
