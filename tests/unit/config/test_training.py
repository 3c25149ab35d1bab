import pytest
from pydantic import ValidationError

from glamm.config.training import TrainConfig


def test_former_name_of_a_key_is_refused_with_the_present_one():
    with pytest.raises(ValidationError, match="'stage' is now called 'phase'"):
        TrainConfig.model_validate({"stage": "joint"})


def test_cache_of_encoders_is_refused_for_sharded_weights():
    with pytest.raises(ValidationError, match="and fsdp2 shards them: set it to 0 or use ddp"):
        TrainConfig(strategy="fsdp2", encoder_cache_mebibytes=64)
