"""What the engine has done since it began: plain numbers that only rise, for metrics and measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Counters:
    """Sums since the start.

    steps:     forwards of the DiT
    row_steps: rows in them
    useful_frames, computed_frames: latent frames of the rows, and with what padding a forward added
    segments:  finished ones; audio_s: seconds of sound handed out
    prepared:  segments that were prepared
    failed:    requests that ended with an error which was not their caller's wish
    splits:    forwards that were done again in parts, because they failed or memory was short
    turns:     of the loop with something to do
    step_s, prepare_s, decode_s: seconds inside forwards, inside preparing, inside decoding
    scheduler_s: seconds of the loop's turns outside the three: choosing rows, building batches, handing out
    Where lanes share the processor, each one's seconds count by its share: together they are at most the clock's.
    """

    steps: int = 0
    row_steps: int = 0
    useful_frames: int = 0
    computed_frames: int = 0
    segments: int = 0
    audio_s: float = 0.0
    prepared: int = 0
    failed: int = 0
    splits: int = 0
    turns: int = 0
    step_s: float = 0.0
    prepare_s: float = 0.0
    decode_s: float = 0.0
    scheduler_s: float = 0.0

    @property
    def padding_waste(self) -> float:
        """Share of the computed frames that was padding, 0 … 1."""
        return 1.0 - self.useful_frames / self.computed_frames if self.computed_frames else 0.0

    @property
    def rows_per_step(self) -> float:
        return self.row_steps / self.steps if self.steps else 0.0

    @property
    def scheduler_share(self) -> float:
        """Scheduler and Python against the forwards they serve."""
        return self.scheduler_s / self.step_s if self.step_s else 0.0

    def plus(self, **more: float) -> Counters:
        """These and some more of the named ones."""
        return replace(self, **{name: getattr(self, name) + value for name, value in more.items()})

    def minus(self, earlier: Counters) -> Counters:
        """What was added since `earlier`."""
        return replace(self, **{name: getattr(self, name) - getattr(earlier, name) for name in self.__dict__})
