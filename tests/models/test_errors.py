import inspect
import pickle

import pytest

from megatts3 import errors

EXAMPLES = [
    errors.InvalidParameter("steps", 0, 1, 100),
    errors.InvalidParameter("grid", "log"),
    errors.TextEmpty(),
    errors.TextTooLong(1200, 1000),
    errors.UnknownPhone("zz"),
    errors.AudioUnreadable("no stream"),
    errors.UnsupportedFormat("xyz", ["wav", "mp3"]),
    errors.PromptTooShort(0.4, 1.0),
    errors.PromptSilent(-80.0),
    errors.LatentRequired(),
    errors.LatentInvalid("length", 212, 100),
    errors.AlignmentFailed("no end was found"),
    errors.ConfigError("x.yaml", "dmi", "unknown key", "dim"),
    errors.CheckpointError("a.ckpt", "w", "shape (2,)", "nothing"),
    errors.CheckpointError("a.ckpt", None, "a checkpoint", "an empty file", "fetch it again"),
    errors.Cancelled("r1"),
    errors.DeadlineExceeded("r1", 0.5),
    errors.RowFailed("r1", "out of memory"),
    errors.NonFinite("r1", "latent"),
    errors.UnusableSound("silent", 0.0),
    errors.EngineFull(9, 8),
    errors.EngineStopped(),
    errors.DeviceLost("AcceleratorError"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=str)
def test_an_error_keeps_its_data_and_words_through_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)
    assert str(error)


def test_every_error_has_an_example_and_stands_in_the_drawing():
    found = {
        name for name, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, errors.MegaTTS3Error)
    }
    leaves = {name for name in found if not getattr(errors, name).__subclasses__()}
    assert leaves <= {type(error).__name__ for error in EXAMPLES}
    assert all(name in (errors.__doc__ or "") for name in found)
