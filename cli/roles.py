"""Which part of the service this launcher runs: all of it on one machine, or a part in a container of its own."""

from enum import StrEnum, unique


@unique
class Role(StrEnum):
    """A part needs a Redis that was named; only `all` brings one and holds the storage folder for itself."""

    ALL = "all"
    API = "api"
    WORKER = "worker"

    @property
    def has_api(self) -> bool:
        return self is not Role.WORKER

    @property
    def has_worker(self) -> bool:
        return self is not Role.API
