"""The library's error tree. Errors carry data; their text is for logs and never holds the user's text.

::

    MegaTTS3Error
    ├── InputError                  the caller's request cannot be done as it stands
    │   ├── InvalidParameter        field, value, minimum, maximum
    │   ├── TextError
    │   │   ├── TextEmpty
    │   │   ├── TextTooLong         characters, limit
    │   │   └── UnknownPhone        phone
    │   ├── AudioError
    │   │   ├── AudioUnreadable     reason
    │   │   ├── UnsupportedFormat   audio_format, supported
    │   │   ├── PromptTooShort      duration_s, minimum_s
    │   │   └── PromptSilent        loudness_lufs
    │   ├── LatentError
    │   │   ├── LatentRequired
    │   │   └── LatentInvalid       reason, expected, found
    │   └── AlignmentFailed         reason
    ├── SetupError                  the installation is wrong, whatever the request
    │   ├── ConfigError             source, key, reason, hint
    │   └── CheckpointError         file, key, expected, found
    └── RunError                    a valid request was not finished
        ├── Cancelled               request_id
        ├── DeadlineExceeded        request_id, late_s
        ├── RowFailed               request_id, reason
        │   └── NonFinite           request_id, where
        ├── UnusableSound           fault, measured
        ├── EngineFull              waiting, limit
        └── EngineStopped
            └── DeviceLost          reason
"""

from collections.abc import Sequence


class MegaTTS3Error(Exception):
    """Root of everything this library raises on purpose."""


class InputError(MegaTTS3Error):
    """The caller's request cannot be done as it stands."""


class InvalidParameter(InputError):
    """A parameter is outside its range, or not of its kind (then both bounds are None)."""

    def __init__(self, field: str, value: object, minimum: float | None = None, maximum: float | None = None) -> None:
        self.field, self.value, self.minimum, self.maximum = field, value, minimum, maximum
        super().__init__(field, value, minimum, maximum)

    def __str__(self) -> str:
        bounds = f"; allowed {self.minimum} … {self.maximum}"
        return f"{self.field} = {self.value!r}" + ("" if self.minimum is self.maximum is None else bounds)


class TextError(InputError):
    """The text cannot be spoken."""


class TextEmpty(TextError):
    """Nothing speakable is in the text."""

    def __str__(self) -> str:
        return "the text holds nothing that can be spoken"


class TextTooLong(TextError):
    """The text has more characters than one request may have."""

    def __init__(self, characters: int, limit: int) -> None:
        self.characters, self.limit = characters, limit
        super().__init__(characters, limit)

    def __str__(self) -> str:
        return f"the text has {self.characters} characters; the limit is {self.limit}"


class UnknownPhone(TextError):
    """A phone symbol or id that the inventory does not hold."""

    def __init__(self, phone: str | int) -> None:
        self.phone = phone
        super().__init__(phone)

    def __str__(self) -> str:
        return f"phone {self.phone!r} is not in the inventory"


class AudioError(InputError):
    """The reference audio, or the wanted output form, cannot be used."""


class AudioUnreadable(AudioError):
    """The bytes are no audio that can be decoded."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the audio cannot be read: {self.reason}"


class UnsupportedFormat(AudioError):
    """An audio format this build neither reads nor writes."""

    def __init__(self, audio_format: str, supported: Sequence[str] = ()) -> None:
        self.audio_format, self.supported = audio_format, tuple(supported)
        super().__init__(audio_format, self.supported)

    def __str__(self) -> str:
        return f"audio format {self.audio_format!r} is not one of {', '.join(self.supported)}"


class PromptTooShort(AudioError):
    """The reference audio is too short to take a voice from."""

    def __init__(self, duration_s: float, minimum_s: float) -> None:
        self.duration_s, self.minimum_s = duration_s, minimum_s
        super().__init__(duration_s, minimum_s)

    def __str__(self) -> str:
        return f"the reference audio lasts {self.duration_s:.2f} s; at least {self.minimum_s:.2f} s is needed"


class PromptSilent(AudioError):
    """The reference audio is silence: its loudness has no finite value."""

    def __init__(self, loudness_lufs: float) -> None:
        self.loudness_lufs = loudness_lufs
        super().__init__(loudness_lufs)

    def __str__(self) -> str:
        return f"the reference audio is silent (loudness {self.loudness_lufs} LUFS)"


class LatentError(InputError):
    """The supplied latent is missing or wrong."""


class LatentRequired(LatentError):
    """The installed weights cannot encode a voice, so a latent must be supplied."""

    def __str__(self) -> str:
        return "the installed weights have no encoder; a latent must be supplied with the reference audio"


class LatentInvalid(LatentError):
    """The supplied latent does not fit: its form, its values or its length."""

    def __init__(self, reason: str, expected: object = None, found: object = None) -> None:
        self.reason, self.expected, self.found = reason, expected, found
        super().__init__(reason, expected, found)

    def __str__(self) -> str:
        detail = "" if self.expected is None else f" (expected {self.expected}, found {self.found})"
        return f"the supplied latent cannot be used: {self.reason}{detail}"


class AlignmentFailed(InputError):
    """The aligner's output for the reference audio makes no sense."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the reference audio could not be aligned: {self.reason}"


class SetupError(MegaTTS3Error):
    """The installation is wrong, whatever the request."""


class ConfigError(SetupError):
    """A network configuration is wrong; ``hint`` is the nearest known name, where there is one."""

    def __init__(self, source: str, key: str, reason: str, hint: str | None = None) -> None:
        self.source, self.key, self.reason, self.hint = source, key, reason, hint
        super().__init__(source, key, reason, hint)

    def __str__(self) -> str:
        tail = f"; did you mean {self.hint!r}?" if self.hint else ""
        return f"{self.source}: {self.key}: {self.reason}{tail}"


class CheckpointError(SetupError):
    """A checkpoint is incomplete or damaged; names the file, the key, what was expected and found, and what to do."""

    def __init__(self, file: str, key: str | None, expected: object, found: object, remedy: str = "") -> None:
        self.file, self.key, self.expected, self.found, self.remedy = file, key, expected, found, remedy
        super().__init__(file, key, expected, found, remedy)

    def __str__(self) -> str:
        where = self.file if self.key is None else f"{self.file}: {self.key}"
        advice = f"; {self.remedy}" if self.remedy else ""
        return f"{where}: expected {self.expected}, found {self.found}{advice}"


class RunError(MegaTTS3Error):
    """A valid request was not finished."""


class Cancelled(RunError):
    """The caller gave the request up."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(request_id)

    def __str__(self) -> str:
        return f"request {self.request_id} was cancelled"


class DeadlineExceeded(RunError):
    """The request's deadline passed before it was done."""

    def __init__(self, request_id: str, late_s: float = 0.0) -> None:
        self.request_id, self.late_s = request_id, late_s
        super().__init__(request_id, late_s)

    def __str__(self) -> str:
        return f"request {self.request_id} missed its deadline"


class RowFailed(RunError):
    """One row of a batch went wrong; its neighbours did not."""

    def __init__(self, request_id: str, reason: str) -> None:
        self.request_id, self.reason = request_id, reason
        super().__init__(request_id, reason)

    def __str__(self) -> str:
        return f"request {self.request_id} failed: {self.reason}"


class NonFinite(RowFailed):
    """A tensor of one row holds NaN or infinity; ``where`` says which."""

    def __init__(self, request_id: str, where: str) -> None:
        self.where = where
        super().__init__(request_id, f"non-finite values in {where}")
        self.args = (request_id, where)  # what pickling hands to __init__


class UnusableSound(RunError):
    """What the networks made of a segment is no speech; ``fault``: not finite, silent or clipped.

    measured: the number of broken values, the peak, or the share of samples at full scale
    """

    def __init__(self, fault: str, measured: float) -> None:
        self.fault, self.measured = fault, measured
        super().__init__(fault, measured)

    def __str__(self) -> str:
        return f"the sound of a segment is {self.fault} ({self.measured:.3g}); it was not handed out"


class EngineFull(RunError):
    """The engine's waiting line is at its limit."""

    def __init__(self, waiting: int, limit: int) -> None:
        self.waiting, self.limit = waiting, limit
        super().__init__(waiting, limit)

    def __str__(self) -> str:
        return f"{self.waiting} requests wait; the limit is {self.limit}"


class EngineStopped(RunError):
    """The engine is not running, or was stopped before the request was done."""

    def __str__(self) -> str:
        return "the engine is stopped"


class DeviceLost(EngineStopped):
    """The device can do nothing more for this process; a new process may find it well."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the device is lost to this process: {self.reason}"
