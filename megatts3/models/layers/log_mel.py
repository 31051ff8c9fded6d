"""Log-mel features of the aligner, as in Whisper (SPEC 4.1)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from megatts3.rates import ALIGNER_SAMPLE_RATE, ALIGNER_SAMPLES_PER_FRAME, FRAMES_MULTIPLE

N_FFT = 400
N_MELS = 80
FLOOR = 1e-10
RANGE_LOG10 = 8.0  # everything more than 80 dB below the clip's maximum is raised to that

# The Slaney mel scale: linear up to 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def mel_filters(n_mels: int = N_MELS) -> Tensor:
    """Triangular filters of equal area over 0 … 8 kHz. (n_mels, N_FFT / 2 + 1) float32"""
    nyquist = ALIGNER_SAMPLE_RATE / 2
    top = _BREAK_MEL + math.log(nyquist / _BREAK_HZ) / _LOG_STEP
    mels = torch.linspace(0.0, top, n_mels + 2, dtype=torch.float64)
    log_part = _BREAK_HZ * torch.exp(_LOG_STEP * (mels - _BREAK_MEL))
    edges = torch.where(mels < _BREAK_MEL, mels * _HZ_PER_MEL, log_part)
    bins = torch.linspace(0.0, nyquist, N_FFT // 2 + 1, dtype=torch.float64)
    ramps = edges[:, None] - bins
    widths = edges.diff()
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0.0) * area[:, None]).float()


def log_mel(samples: Tensor, n_mels: int = N_MELS) -> Tensor:
    """Log-mel spectrogram; the floor is relative to each clip's own maximum, so pad clips afterwards.

    samples: (L,) or (B, L) float32 at 16 kHz, more than N_FFT / 2 samples
    returns: (n_mels, F) or (B, n_mels, F), F = L // 160
    """
    clips = samples.float().reshape(-1, samples.shape[-1])
    # One frame too many comes out of the centred transform; the last one is dropped.
    padded = functional.pad(clips[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[:, 0]
    spectrum = torch.stft(
        padded,
        N_FFT,
        hop_length=ALIGNER_SAMPLES_PER_FRAME,
        window=torch.hann_window(N_FFT, device=samples.device),
        center=False,
        return_complex=True,
    )[..., : samples.shape[-1] // ALIGNER_SAMPLES_PER_FRAME]
    power = spectrum.real.square() + spectrum.imag.square()
    logs = (mel_filters(n_mels).to(samples.device) @ power).clamp(min=FLOOR).log10()
    logs = torch.maximum(logs, logs.amax(dim=(1, 2), keepdim=True) - RANGE_LOG10)
    scaled = (logs + 4.0) / 4.0
    return scaled.reshape(*samples.shape[:-1], n_mels, -1)


def prompt_mel(samples: Tensor, n_mels: int = N_MELS) -> Tensor:
    """Log-mel of a prompt, cut to a whole multiple of 8 frames. (L,) → (n_mels, P)"""
    mel = log_mel(samples, n_mels)
    return mel[:, : mel.shape[-1] // FRAMES_MULTIPLE * FRAMES_MULTIPLE]
