"""The two translations."""

import inspect

import pytest

from contract.errors import ErrorCode, ServiceError
from contract.schemas import LEVELS, Job, SpeechRequest
from megatts3 import errors as speech
from megatts3.api import SamplingParams
from worker.translate import CODES, to_error_info, to_sampling_params, to_synthesis_request

EVERY_ERROR = [
    kind for _, kind in inspect.getmembers(speech, inspect.isclass) if issubclass(kind, speech.MegaTTS3Error)
]
MEANT_TO_BE_INTERNAL = {
    speech.MegaTTS3Error,
    speech.SetupError,
    speech.ConfigError,
    speech.CheckpointError,
}


def an_instance(kind: type[Exception]) -> Exception:
    """Made with whatever arguments it wants; the code depends on the class alone."""
    if kind.__init__ is Exception.__init__:
        return kind()
    wanted = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    return kind(*("7" if p.annotation in ("str", str) else 7 for p in wanted))


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_every_library_error_has_a_code_of_its_own_kind(kind):
    info = to_error_info(an_instance(kind))

    assert info.code in ErrorCode
    assert (info.code is ErrorCode.INTERNAL) == (kind in MEANT_TO_BE_INTERNAL)
    assert info.detail


def test_the_table_names_no_class_that_is_gone():
    assert set(CODES) <= set(EVERY_ERROR)


def test_a_service_error_keeps_its_code():
    assert to_error_info(ServiceError(ErrorCode.STORAGE_FULL, "disk full")).code is ErrorCode.STORAGE_FULL


def test_the_services_defaults_are_the_librarys():
    assert to_sampling_params(SpeechRequest("One."), seed=0) == SamplingParams(seed=0)


@pytest.mark.parametrize("level", LEVELS.values(), ids=list(LEVELS))
def test_the_library_knows_the_grid_of_every_quality(level):
    request = SpeechRequest("a", grid=level.grid, time_step=level.time_step)
    params = to_sampling_params(request, seed=0)
    assert (params.grid, params.steps) == level


@pytest.mark.parametrize(("owner", "client"), [(None, ""), ("key-1", "key-1")])
def test_a_jobs_owner_is_whose_share_of_the_engine_it_takes(owner, client):
    job = Job(id="job_1", request=SpeechRequest("One."), owner=owner)

    asked = to_synthesis_request(job, None, SamplingParams(), to_engine_time=lambda at_s: at_s)
    assert asked.client == client
