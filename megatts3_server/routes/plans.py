"""What a text would be spoken as, and when: the body of a synthesis, answered without one."""

import flask

from megatts3_server import speech_response
from megatts3_server.capacity_view import capacity
from megatts3_server.routes.speech import read_speech
from megatts3_server.services import caller, services, sync_time_left_s


def plan_speech() -> flask.Response:
    """Normalized text, segments with phones and tones, predicted seconds, and what waits in front."""
    built = services()
    parsed, reference, _ = read_speech(built, max_text=built.settings.limits.max_text)
    resolved = built.submission.resolve(parsed.value, reference)
    plan = built.planning.plan(resolved, caller(), timeout_s=sync_time_left_s())
    now = capacity(built.workers.snapshot(), built.settings.jobs)
    queue = {
        "jobs": now["queue"]["jobs"],
        "audio_s": now["queue"]["audio_s"],
        "estimated_wait_s": now["estimated_wait_s"],
    }
    answer = {"voice_id": resolved.request.voice_id, "seed": resolved.request.seed, **plan, "queue": queue}
    response = flask.jsonify(answer)
    speech_response.warn(response, (*speech_response.unknown_fields(parsed.unknown), *resolved.warnings))
    return response
