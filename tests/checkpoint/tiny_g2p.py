"""A pronunciation network of the release's form, tiny: random, or one that recites given codes whatever it reads."""

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import Qwen2Config, Qwen2ForCausalLM

from megatts3.models.g2p_lm import END_CODE, SILENCE_CODE

CODES = END_CODE + 1
HELLO = (118, 103, 126, 163, 115, 148)  # h ax l ， d 。
WIDTH = 64


def make_g2p(folder, *, recite=HELLO, end=True, seed=0, tied=False):
    """Write config.json, model.safetensors and tokenizer.json.

    recite: codes that follow the forced silence; None leaves the network random
    end:    whether the end code follows them; without it the last code is repeated for ever
    """
    folder.mkdir(parents=True)
    tokenizer, first = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    rows = first + CODES
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2) if parameter.ndim > 1 else None
    if recite is not None:
        _recite(model, first, (SILENCE_CODE, *recite), end=end)
    model.save_pretrained(folder)
    return first


def _tokenizer():
    """Bytes, and the release's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    names = ["<BOT>", "<BOS>", *(f"<Reserved_TTS_{k}>" for k in range(CODES))]
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return tokenizer, tokenizer.token_to_id("<Reserved_TTS_0>")


@torch.no_grad()
def _recite(model, first, codes, *, end):
    """Layers that add nothing, and an output that knows nothing but which code follows which."""
    assert len(set(codes)) == len(codes)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    model.model.norm.weight.fill_(1.0)
    model.lm_head.weight.zero_()
    for code, following in zip(codes, [*codes[1:], END_CODE if end else codes[-1]], strict=True):
        model.lm_head.weight[first + following] += model.model.embed_tokens.weight[first + code]
