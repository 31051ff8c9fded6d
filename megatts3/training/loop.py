"""The loop every stage shares: steps, learning rate, EMA, checkpoints one can resume from, a log line per interval.

A stage says what a step is; this file never looks inside.  The length is a number of steps or a number of minutes,
whichever ends first, and minutes already spent count after a restart.
"""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class LoopConfig:
    """lr falls from `lr` to `final_lr_share · lr` along a cosine of the progress made."""

    steps: int
    minutes: float = math.inf
    lr: float = 1e-3
    warmup_steps: int = 200
    final_lr_share: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    log_every: int = 50
    checkpoint_every_s: float = 120.0
    bfloat16: bool = True
    seed: int = 0


@dataclass(frozen=True)
class StepContext:
    """What a stage may know of where it is: its own random numbers, and the share of the run that is done."""

    rng: np.random.Generator
    progress: float
    step: int


class Stage(ABC):
    """One network's training: what `module` is taught, and by which critic, if any."""

    module: nn.Module
    critic: nn.Module | None = None

    @abstractmethod
    def losses(self, context: StepContext) -> Mapping[str, Tensor]:
        """Named scalars of one batch; `total` is the one that is minimised."""

    def critic_loss(self) -> Tensor | None:
        """Loss of the critic on what `losses` just made; None while the critic rests."""
        return None


class _Run:
    def __init__(self, stage: Stage, config: LoopConfig, folder: Path, device: torch.device) -> None:
        self.stage, self.config, self.folder, self.device = stage, config, folder, device
        stage.module.to(device).train()
        self.optimizer = self._adam(stage.module, config.lr)
        self.critic_optimizer = None
        if stage.critic is not None:
            stage.critic.to(device).train()
            self.critic_optimizer = self._adam(stage.critic, config.lr)
        self.ema = {k: v.detach().clone() for k, v in stage.module.state_dict().items()}
        self.step, self.spent_s = 0, 0.0

    def _adam(self, module: nn.Module, lr: float) -> torch.optim.Optimizer:
        trained = [p for p in module.parameters() if p.requires_grad]
        return torch.optim.AdamW(trained, lr=lr, betas=self.config.betas, weight_decay=self.config.weight_decay)

    @property
    def progress(self) -> float:
        return min(1.0, max(self.step / self.config.steps, self.spent_s / (60 * self.config.minutes)))

    def learning_rate(self) -> float:
        floor = self.config.final_lr_share
        cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * self.progress))
        return self.config.lr * cosine * min(1.0, (self.step + 1) / self.config.warmup_steps)

    def one_step(self) -> dict[str, float]:
        context = StepContext(np.random.default_rng([self.config.seed, self.step]), self.progress, self.step)
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
            losses = self.stage.losses(context)
        self._descend(self.optimizer, self.stage.module, losses["total"])
        values = {name: float(value.detach()) for name, value in losses.items()}
        if self.critic_optimizer is not None and self.stage.critic is not None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bfloat16):
                critic_loss = self.stage.critic_loss()
            if critic_loss is not None:
                self._descend(self.critic_optimizer, self.stage.critic, critic_loss)
                values["critic"] = float(critic_loss.detach())
        self._average()
        self.step += 1
        return values

    def _descend(self, optimizer: torch.optim.Optimizer, module: nn.Module, loss: Tensor) -> None:
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships no annotation
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.config.clip_norm)
        if torch.isfinite(norm):  # a single wild batch is skipped, not learnt from
            optimizer.step()

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.config.ema_decay, (self.step + 1) / (self.step + 20))
        for name, value in self.stage.module.state_dict().items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)

    def save(self) -> None:
        state: dict[str, Any] = {  # Any: torch.save takes what it is given
            "module": self.stage.module.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent_s": self.spent_s,
        }
        if self.stage.critic is not None and self.critic_optimizer is not None:
            state["critic"] = self.stage.critic.state_dict()
            state["critic_optimizer"] = self.critic_optimizer.state_dict()
        aside = self.folder / f"{STATE_FILE}.part"
        torch.save(state, aside)
        aside.replace(self.folder / STATE_FILE)

    def resume(self) -> None:
        path = self.folder / STATE_FILE
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.stage.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema = state["ema"]
        self.step, self.spent_s = state["step"], state["spent_s"]
        if self.stage.critic is not None and self.critic_optimizer is not None and "critic" in state:
            self.stage.critic.load_state_dict(state["critic"])
            self.critic_optimizer.load_state_dict(state["critic_optimizer"])


def train(
    stage: Stage,
    config: LoopConfig,
    folder: Path,
    *,
    device: torch.device,
    sample: Callable[[Path], None] | None = None,
) -> None:
    """Run `stage` to its end, from where `folder` left off; leaves averaged weights in the module and the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(stage, config, folder, device)
    run.resume()
    saved_at = time.monotonic()
    sums: dict[str, list[float]] = {}
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log, _bar(folder.name, run) as bar:
        while run.progress < 1.0:
            started = time.monotonic()
            values = run.one_step()
            run.spent_s += time.monotonic() - started
            for name, value in values.items():
                sums.setdefault(name, []).append(value)
            bar.update(1)
            if run.step % config.log_every == 0:
                means = {name: round(float(np.mean(since)), 5) for name, since in sums.items()}
                line = {"step": run.step, "spent_s": round(run.spent_s), "lr": run.learning_rate(), **means}
                log.write(json.dumps(line) + "\n")
                log.flush()
                bar.set_postfix(means)
                sums = {}
            if time.monotonic() - saved_at > config.checkpoint_every_s:
                run.save()
                saved_at = time.monotonic()
    run.save()
    stage.module.load_state_dict(run.ema)
    stage.module.eval()
    if sample is not None:
        sample(folder)


def _bar(name: str, run: _Run) -> tqdm[None]:
    quiet = not os.isatty(2)
    return tqdm(desc=name, total=run.config.steps, initial=run.step, mininterval=30 if quiet else 0.5)


def averaged(folder: Path) -> Mapping[str, Tensor]:
    """The averaged weights of a finished or interrupted run."""
    state: Mapping[str, Mapping[str, Tensor]] = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    return state["ema"]
