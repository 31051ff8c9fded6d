"""A network's sizes, read off the shapes of its tensors, for files that carry no sizes of ours (SPEC 1.4).

What shapes cannot show is fixed in the published code: heads of 64 channels in the DiT and the aligner, eight
heads in the duration decoder, the WaveVAE's strides.
"""

from collections.abc import Mapping

from torch import Tensor

from megatts3.config import AlignerConfig, DiTConfig, DurationLMConfig, WaveVAEConfig

HEAD_DIM = 64


class _Shapes:
    """Shapes by name; a missing name is a KeyError that the caller turns into its own error."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def __call__(self, name: str, axis: int) -> int:
        return self._shapes[name][axis]

    def count(self, prefix: str) -> int:
        """How many different numbers follow the prefix."""
        starts = {name.removeprefix(prefix).split(".")[0] for name in self._shapes if name.startswith(prefix)}
        return len(starts)


# How many of something a checkpoint holds.  A wrong number in config.yaml would otherwise be told as a tensor that is
# missing or one too many; all other sizes show in the shape of the very tensor that does not fit.
_COUNTED: Mapping[type, Mapping[str, str]] = {
    DiTConfig: {
        "n_layers": "encoder.layers.",
        "ph_layers": "ph_encoder.encoder.attn_layers.",
        "prenet_layers": "ph_encoder.pre.conv_layers.",
    },
    DurationLMConfig: {"enc_layers": "encoder.encoder.attn_layers.", "dur_model_layers": "layers."},
    AlignerConfig: {"n_layer": "decoder.blocks."},
    WaveVAEConfig: {},
}


def counted(kind: type, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The numbers of layers that the tensors' names show, by the configuration's names."""
    shape = _Shapes(tensors)
    return {key: shape.count(prefix) for key, prefix in _COUNTED[kind].items()}


def infer_dit(tensors: Mapping[str, Tensor]) -> DiTConfig:
    shape = _Shapes(tensors)
    dim = shape("x_prenet.weight", 0)
    relative = "ph_encoder.encoder.attn_layers.0.emb_rel_k"
    return DiTConfig(
        dim=dim,
        n_layers=shape.count("encoder.layers."),
        n_heads=max(1, dim // HEAD_DIM),
        local_cond_dim=shape("local_cond_project.weight", 0),
        ctx_mask_dim=shape("ctx_mask_proj.weight", 0),
        latent_dim=shape("x_prenet.weight", 1),
        phone_vocab=shape("ph_encoder.emb.weight", 0),
        tone_vocab=shape("tone_embed.weight", 0),
        ph_layers=shape.count("ph_encoder.encoder.attn_layers."),
        ph_heads=dim // shape(relative, 2),
        ph_filter=shape("ph_encoder.encoder.ffn_layers.0.conv_1.weight", 0),
        ph_kernel=shape("ph_encoder.encoder.ffn_layers.0.conv_1.weight", 2),
        ph_window=shape(relative, 1) // 2,
        prenet_kernel=shape("ph_encoder.pre.conv_layers.0.weight", 2),
        prenet_layers=shape.count("ph_encoder.pre.conv_layers."),
    )


def infer_duration_lm(tensors: Mapping[str, Tensor]) -> DurationLMConfig:
    shape = _Shapes(tensors)
    text_width = shape("enc_proj.weight", 1)
    feed_forward = "encoder.encoder.ffn_layers.0.conv_1.weight"
    return DurationLMConfig(
        hidden_size=text_width,
        ffn_hidden_size=shape(feed_forward, 0),
        num_heads=text_width // shape("encoder.encoder.attn_layers.0.emb_rel_k", 2),
        enc_layers=shape.count("encoder.encoder.attn_layers."),
        enc_ffn_kernel_size=shape(feed_forward, 2),
        ling_label_dict_size=(shape("ling_label_embed_layers.tone.weight", 0) - 3,),
        use_pos_embed="embed_positions._float_tensor" in shape,
        dur_model_type="ar_mse" if "project_out_dim.0.weight" in shape else "ar",
        dur_code_size=shape("code_emb.weight", 0) - 2,
        dur_txt_hs=text_width,
        dur_model_hidden_size=shape("enc_proj.weight", 0),
        dur_model_layers=shape.count("layers."),
        mega_use_char="char_encoder.emb.weight" in shape,
        phone_vocab=shape("encoder.emb.weight", 0),
    )


def infer_aligner(tensors: Mapping[str, Tensor]) -> AlignerConfig:
    shape = _Shapes(tensors)
    width = shape("decoder.token_embedding.weight", 1)
    return AlignerConfig(
        n_vocab=shape("decoder.token_embedding.weight", 0),
        n_text_ctx=shape("decoder.positional_embedding", 0),
        n_mels=shape("encoder.conv1.weight", 1),
        n_audio_ctx=shape("encoder.positional_embedding", 0),
        n_state=width,
        n_head=max(1, width // HEAD_DIM),
        n_layer=shape.count("decoder.blocks."),
    )


def infer_wavvae(tensors: Mapping[str, Tensor]) -> WaveVAEConfig:
    shape = _Shapes(tensors)
    first = "encoder.encoder.model.0.conv.conv.weight_v"
    return WaveVAEConfig(
        enc_n_filters=shape(first, 0) if first in shape else WaveVAEConfig.enc_n_filters,
        enc_dimension=shape("proj_to_z.weight", 1),
        latent_dim=shape("proj_to_decoder.weight", 1),
        dec_in=shape("proj_to_decoder.weight", 0),
        ngf=shape("decoder.model_up.1.weight_v", 0) // 16,
        use_tanh="decoder.model_up.13.weight" not in shape,
    )
