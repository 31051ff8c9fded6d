"""The pronunciation network: loaded strictly, read greedily, refused where it answers nonsense."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from megatts3.api import Synthesizer
from megatts3.checkpoint import load_networks
from megatts3.checkpoint.g2p import load_g2p
from megatts3.errors import CheckpointError
from megatts3.models.g2p_lm import FIRST_CODE_TOKEN, Spelled, greedy
from megatts3.pipeline.pronounce import NetworkPronouncer, frontend_of, place_words
from megatts3.pipeline.voice import prepare_voice
from megatts3.text.phones import encode_codes
from megatts3.text.pronunciation import RulePronouncer, WordSpan
from scripts.make_tiny_checkpoint import make_tiny_checkpoint
from tests.checkpoint.tiny_g2p import HELLO, make_g2p
from tests.tiny_library import reference_audio

CPU = torch.device("cpu")
TEXTS = ["Hello.", "A much longer sentence, which has more letters.", "好"]


@pytest.fixture
def checkpoint(tmp_path):
    return make_tiny_checkpoint(tmp_path / "tiny")


@pytest.fixture(scope="module")
def random_network(tmp_path_factory):
    path = tmp_path_factory.mktemp("random")
    make_g2p(path / "g2p", recite=None)
    return load_g2p(path, device=CPU)


class Recorder:
    """A network that answers what it is told, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def spell(self, texts):
        self.asked.append(list(texts))
        return [self.answers.pop(0) for _ in texts]


# ---- what goes in and out


def test_a_checkpoint_with_the_network_speaks_what_the_network_says(checkpoint):
    make_g2p(checkpoint / "g2p")
    networks = load_networks(checkpoint)

    (segment,) = frontend_of(networks).segments("Whatever.")

    assert networks.capabilities.g2p_network
    assert segment.phones == (145, *HELLO)
    assert segment.tones == (3,) * len(segment.phones)
    assert segment.pronounced_by == "network"
    planned = Synthesizer.load(checkpoint).plan("Whatever.", prepare_voice(networks, reference_audio(1.0)))
    assert planned.segments[0].phones == segment.phones


def test_chinese_codes_become_phones_with_their_tones():
    phones, tones = (145, 35, 43, 148), (3, 12, 4, 3)
    network = Recorder(Spelled(encode_codes(phones, tones), ended=True))
    (segment,) = NetworkPronouncer(network).pronounce_all(["你好。"], "zh")

    assert (segment.phones, segment.tones) == (phones, tones)


def test_all_segments_of_a_text_are_asked_at_once():
    answer = Spelled((145, 118, 148), ended=True)
    network = Recorder(answer, answer)
    NetworkPronouncer(network).pronounce_all(["One.", "Two."], "en")
    assert network.asked == [["One.", "Two."]]


@pytest.mark.parametrize(
    "answer",
    [
        Spelled((145, 118, 103), ended=False),
        Spelled((145, 118, 190), ended=True),  # between the phones and the merged codes
        Spelled((145, 118, 200), ended=True),  # phone 2 by the reference's arithmetic
        Spelled((145, 118, 789), ended=True),
        Spelled((145, 118, -700), ended=True),  # a token of ordinary text
        Spelled((145,), ended=True),
        Spelled((145, 148), ended=True),
    ],
    ids=["no end", "a hole", "below the first", "above the last", "text", "nothing", "no sound"],
)
def test_a_malformed_answer_is_done_again_by_the_dictionary_and_said(answer, caplog):
    good = Spelled((145, 118, 103, 148), ended=True)
    with caplog.at_level(logging.WARNING):
        segments = NetworkPronouncer(Recorder(good, answer, good)).pronounce_all(["A.", "Hello there.", "B."], "en")

    assert [segment.pronounced_by for segment in segments] == ["network", "dictionary", "network"]
    assert segments[1] == RulePronouncer().pronounce("Hello there.", "en")
    assert sum("g2p_fallback" in record.message for record in caplog.records) == 1
    assert "Hello" not in caplog.text  # never the user's text


def test_words_keep_their_places_among_the_networks_phones():
    words = (WordSpan("hello", 1, 4), WordSpan("gone", 5, 5), WordSpan("you", 6, 7))
    known, phones = (145, 10, 11, 12, 13, 99, 20, 21), (145, 10, 77, 11, 13, 20, 21, 148)
    assert place_words(words, known, phones) == (WordSpan("hello", 1, 4), WordSpan("you", 5, 6))


# ---- greedy decoding


def test_a_row_is_spelled_the_same_alone_and_padded_beside_longer_ones(random_network):
    together = random_network.spell(TEXTS)
    assert together == [random_network.spell([text])[0] for text in TEXTS]
    assert len({spelled.codes for spelled in together}) == len(TEXTS)


@pytest.mark.parametrize("tied", [False, True])
def test_the_cache_changes_nothing_and_the_result_is_the_librarys_own(tmp_path, tied):
    from transformers import Qwen2ForCausalLM

    make_g2p(tmp_path / "g2p", recite=None, tied=tied)
    network = load_g2p(tmp_path, device=CPU)
    prompt = [5, 6, 7, 8, 260]
    ((ours, _),) = greedy(network._model, [prompt], stop=-1, device=CPU, max_new=12)
    theirs = Qwen2ForCausalLM.from_pretrained(tmp_path / "g2p", dtype=torch.float32).eval()
    tokens = torch.tensor([prompt])
    for _ in range(12):  # without a cache
        with torch.no_grad():
            tokens = torch.cat((tokens, theirs(tokens, use_cache=False).logits[:, -1:].argmax(-1)), dim=1)

    assert ours == tokens[0, len(prompt) :].tolist()


def test_a_row_that_ended_does_not_stop_its_neighbour(tmp_path):
    first = make_g2p(tmp_path / "g2p")
    network = load_g2p(tmp_path, device=CPU)
    begins_late = [first + HELLO[3]]
    found = greedy(network._model, [[1, first + 145], begins_late], stop=first + 801, device=CPU)
    assert found == [([first + code for code in HELLO], True), ([first + code for code in HELLO[4:]], True)]


def test_a_network_that_never_ends_is_cut_off_and_not_believed(checkpoint):
    make_g2p(checkpoint / "g2p", end=False)
    (segment,) = frontend_of(load_networks(checkpoint)).segments("Hello.")
    assert segment.pronounced_by == "dictionary"


# ---- loading


def test_without_the_folder_dictionaries_do_its_work(checkpoint):
    networks = load_networks(checkpoint)
    assert not networks.capabilities.g2p_network
    assert frontend_of(networks).segments("Hello.")[0].pronounced_by == "dictionary"
    with pytest.raises(CheckpointError, match="pronunciation network"):
        load_networks(checkpoint, g2p="network")


def test_the_network_can_be_switched_off_and_is_part_of_the_revision(checkpoint):
    without = load_networks(checkpoint).revision
    make_g2p(checkpoint / "g2p")
    assert load_networks(checkpoint, g2p="dictionary").revision == without
    assert not load_networks(checkpoint, g2p="dictionary").capabilities.g2p_network
    assert load_networks(checkpoint).revision != without


def test_a_file_of_half_precision_is_computed_in_float32(tmp_path):
    make_g2p(tmp_path / "g2p")
    path = tmp_path / "g2p" / "model.safetensors"
    save_file({key: tensor.bfloat16() for key, tensor in load_file(path).items()}, path)
    assert {p.dtype for p in load_g2p(tmp_path, device=CPU)._model.parameters()} == {torch.float32}


def drop_a_tensor(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path)


def say(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("damage", "file", "words"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json", "remove it"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json", "JSON"),
        (lambda folder: say(folder, model_type="llama"), "config.json", "'llama'"),
        (lambda folder: say(folder, vocab_size=2000), "config.json", "as the tensors show"),
        (lambda folder: say(folder, intermediate_size=96), "model.safetensors", "shape (96, 64)"),
        (drop_a_tensor, "model.safetensors", "up_proj"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer.json", "a tokenizer"),
        (
            lambda folder: (folder / "tokenizer.json").write_text(
                (folder / "tokenizer.json").read_text().replace(FIRST_CODE_TOKEN, "<Other>")
            ),
            "tokenizer.json",
            FIRST_CODE_TOKEN,
        ),
    ],
)
def test_an_incomplete_or_foreign_network_is_refused_by_file_and_reason(checkpoint, damage, file, words):
    make_g2p(checkpoint / "g2p")
    damage(checkpoint / "g2p")
    with pytest.raises(CheckpointError) as refused:
        load_networks(checkpoint)
    assert Path(refused.value.file).name == file
    assert words in str(refused.value)


def test_transformers_is_imported_only_where_the_network_is(checkpoint, tmp_path):
    program = (
        "import sys; from megatts3.api import Synthesizer; s = Synthesizer.load(sys.argv[1]);"
        "print('transformers' in sys.modules, 'tokenizers' in sys.modules)"
    )

    def imported():
        command = [sys.executable, "-c", program, str(checkpoint)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=170).stdout.split()

    assert imported() == ["False", "False"]
    make_g2p(checkpoint / "g2p")
    assert imported() == ["True", "True"]
