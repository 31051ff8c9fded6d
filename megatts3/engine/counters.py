"""What the engine has done since it began: plain numbers that only rise, for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counters:
    """steps: forwards of the DiT; row_steps: rows in them, summed; segments: finished ones

    useful_frames, padded_frames: latent frames of the rows, and with their padding, summed over steps
    audio_s: seconds of sound handed out
    """

    steps: int = 0
    row_steps: int = 0
    useful_frames: int = 0
    padded_frames: int = 0
    segments: int = 0
    audio_s: float = 0.0

    def with_step(self, row_frames: list[int]) -> Counters:
        """After one step of rows of these lengths."""
        return Counters(
            self.steps + 1,
            self.row_steps + len(row_frames),
            self.useful_frames + sum(row_frames),
            self.padded_frames + len(row_frames) * max(row_frames),
            self.segments,
            self.audio_s,
        )

    def with_segment(self, audio_s: float) -> Counters:
        """After one more segment was handed out."""
        return Counters(
            self.steps,
            self.row_steps,
            self.useful_frames,
            self.padded_frames,
            self.segments + 1,
            self.audio_s + audio_s,
        )
