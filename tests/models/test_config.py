import json
from dataclasses import fields
from pathlib import Path

import pytest

from megatts3.config import Architecture, DiTConfig, DurationLMConfig, WaveVAEConfig, load_architecture
from megatts3.errors import ConfigError

ARCHITECTURES = Path(__file__).parents[2] / "configs" / "architecture"


@pytest.mark.parametrize("path", sorted(ARCHITECTURES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_architecture_is_valid(path):
    assert load_architecture(path).dit.phone_vocab == 302


def test_the_base_architecture_is_the_default_in_every_size():
    assert load_architecture(ARCHITECTURES / "base.yaml") == Architecture()


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError) as caught:
        DiTConfig.from_dict({"n_layer": 3}, "x.yaml")
    assert (caught.value.source, caught.value.key, caught.value.hint) == ("x.yaml", "n_layer", "n_layers")
    with pytest.raises(ConfigError) as caught:
        Architecture.from_dict({"wavevae": {}})
    assert caught.value.hint == "wavvae"


@pytest.mark.parametrize("value", ["64", 64.0, True, 0, -1, None, [64]])
def test_a_size_is_a_positive_whole_number(value):
    with pytest.raises(ConfigError) as caught:
        DiTConfig.from_dict({"dim": value})
    assert caught.value.key == "dim"


def test_a_setting_that_the_code_does_not_have_is_refused():
    with pytest.raises(ConfigError):
        DurationLMConfig.from_dict({"use_post_ln": True})
    with pytest.raises(ConfigError):
        WaveVAEConfig.from_dict({"decoder": "wavenet"})


@pytest.mark.parametrize("kind", [DiTConfig, DurationLMConfig, WaveVAEConfig])
def test_sizes_survive_the_way_through_plain_values(kind):
    values = json.loads(json.dumps(kind().to_dict()))
    assert set(values) == {field.name for field in fields(kind)}
    assert kind.from_dict(values) == kind()
