"""Sample, frame and latent rates, derived from one another; a rate that does not divide is refused.

Source: SPEC sections 0, 1.3, 4.1, 8.1 and 8.4.
"""


def exact_div(a: int, b: int) -> int:
    """``a / b`` where that is whole; ValueError otherwise."""
    quotient, rest = divmod(a, b)
    if rest:
        raise ValueError(f"{b} does not divide {a}")
    return quotient


SAMPLE_RATE = 24_000  # samples per second, WaveVAE
ALIGNER_SAMPLE_RATE = 16_000  # samples per second, the aligner's input
FRAME_RATE = 100  # duration frames per second: 10 ms
LATENT_RATE = 25  # latent frames per second: 40 ms

SAMPLES_PER_FRAME = exact_div(SAMPLE_RATE, FRAME_RATE)  # 240
ALIGNER_SAMPLES_PER_FRAME = exact_div(ALIGNER_SAMPLE_RATE, FRAME_RATE)  # 160
FRAMES_PER_LATENT = exact_div(FRAME_RATE, LATENT_RATE)  # 4
SAMPLES_PER_LATENT = exact_div(SAMPLE_RATE, LATENT_RATE)  # 960

FRAMES_MULTIPLE = 8  # every prompt and every segment lasts a multiple of this many duration frames
LATENTS_MULTIPLE = exact_div(FRAMES_MULTIPLE, FRAMES_PER_LATENT)  # 2
LATENT_CHANNELS = 32  # C

PROMPT_WINDOW_SAMPLES = 1_200  # a prompt is padded to one sample less than a multiple of this
PROMPT_TAIL_SAMPLES = exact_div(SAMPLE_RATE, 2)  # and then half a second of zeros is appended
CROSSFADE_SAMPLES = 3_840  # 160 ms overlap of two joined segments
