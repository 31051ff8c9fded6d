"""Fetching a release from a hub: one commit, every file checked, and taken up again where it was cut.

`huggingface_hub` does the transfer (it honours HF_ENDPOINT, HF_TOKEN and proxies); what is decided here is which
files, at which commit, whether they arrived whole, and what is written down of where they are from.
"""

import errno
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from megatts3.checkpoint import known
from megatts3.checkpoint.manifest import FILE, read_yaml, sha256_of, write_manifest
from megatts3.errors import CheckpointError

FOLDERS = ("aligner_lm", "diffusion_transformer", "duration_lm", "g2p", "wavvae")
ENCODER_FILE = "wavvae/model_only_last.ckpt"
DEFAULT_REVISION = "main"
PIN = ".download.yaml"  # what was decided, while a download is not complete
PARTIAL = ".part"
_SPARE_BYTES = 200 * 2**20  # beyond the files themselves
_AGAIN = "run the command again: it goes on where it stopped"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Remote:
    """One file at one commit. sha256: of a large file; blob_id: git's own hash of a small one."""

    path: str
    size_bytes: int
    sha256: str | None
    blob_id: str | None


@dataclass(frozen=True)
class Release:
    """A repository at one commit."""

    repository: str
    commit: str
    licence: str | None
    files: tuple[Remote, ...]

    @property
    def source(self) -> str:
        return f"{self.repository}@{self.commit}"


def look_up(repository: str, revision: str, wanted: Callable[[str], bool], *, endpoint: str | None = None) -> Release:
    """Ask the hub what a revision is, and which of its files are wanted.  Raises CheckpointError."""
    from huggingface_hub import HfApi  # noqa: PLC0415 - a second of imports that only a download needs

    info = _from_hub(
        f"{repository}@{revision}",
        lambda: HfApi(endpoint=endpoint).model_info(repository, revision=revision, files_metadata=True),
    )
    found = tuple(
        Remote(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else None, each.blob_id)
        for each in info.siblings or ()
        if wanted(each.rfilename)
    )
    if not found:
        names = ", ".join(FOLDERS)
        raise CheckpointError(f"{repository}@{revision}", None, f"files below {names}", "none", "is it the right name?")
    licence = (info.card_data or {}).get("license") if info.card_data else None
    return Release(repository, str(info.sha), str(licence) if licence else None, found)


def download(
    target: Path,
    *,
    repository: str = known.OFFICIAL,
    revision: str | None = None,
    encoder_from: str | None = None,
    endpoint: str | None = None,
    say: Say = print,
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
) -> None:
    """Fetch a release into `target`, a checkpoint directory afterwards.

    revision:     branch, tag or commit; a started download stays at the commit it began with
    endpoint:     of the hub; by default HF_ENDPOINT's, or huggingface.co
    encoder_from: repository, or `repository@revision`, of a third party that offers the WaveVAE with its encoder

    Raises CheckpointError: no such repository or file, cut connection, wrong checksum, no space.
    """
    target.mkdir(parents=True, exist_ok=True)
    releases = [_pinned(target, "release", repository, revision, _is_in_folders, endpoint)]
    if encoder_from:
        name, _, at = encoder_from.partition("@")
        releases.append(_pinned(target, "encoder", name, at or None, lambda path: path == ENCODER_FILE, endpoint))
    _announce(releases, say)
    _require_space(target, releases, free_bytes)
    for release in releases:
        for number, file in enumerate(release.files, start=1):
            say(f"{number}/{len(release.files)} {file.path} ({file.size_bytes / 1e6:.1f} MB)")
            _fetch(target, release, file, say, endpoint)
    _write_down(target, releases)
    (target / PIN).unlink()
    say(f"complete: {target} (look: megatts3 checkpoints info {target})")


def _is_in_folders(path: str) -> bool:
    return path.split("/", maxsplit=1)[0] in FOLDERS


def _pinned(
    target: Path,
    part: str,
    repository: str,
    revision: str | None,
    wanted: Callable[[str], bool],
    endpoint: str | None,
) -> Release:
    """The commit that an unfinished download of the same repository began with, else the one of `revision` now."""
    pin = target / PIN
    pins = read_yaml(pin) if pin.is_file() else {}
    before = pins.get(part, {})
    if revision is None and before.get("repository") == repository:
        revision = before["commit"]
    release = look_up(repository, revision or DEFAULT_REVISION, wanted, endpoint=endpoint)
    pins[part] = {"repository": repository, "commit": release.commit}
    pin.write_text(yaml.safe_dump(pins), encoding="utf-8")
    return release


def _announce(releases: Sequence[Release], say: Say) -> None:
    release, *others = releases
    total = sum(file.size_bytes for each in releases for file in each.files)
    say(f"{release.repository} at commit {release.commit}, {total / 1e9:.2f} GB in all")
    say(f"licence, as its publisher states it: {release.licence or 'none stated'}")
    if release.repository == known.OFFICIAL and (release.licence or "").lower() != known.OFFICIAL_LICENCE:
        say(f"note: the release was published under {known.OFFICIAL_LICENCE}; read what it says now before you use it")
    for other in others:
        say(f"encoder: from {other.repository} at commit {other.commit}")
        say("         A THIRD PARTY'S FILE.  ByteDance published no encoder and does not vouch for this one.")
        say(f"         licence, as that party states it: {other.licence or 'none stated'}")
    if not others:
        say("no encoder is part of the official release: voices need a latent (.npy) beside their recording")


def _require_space(target: Path, releases: Sequence[Release], free_bytes: Callable[[Path], int]) -> None:
    missing = sum(
        file.size_bytes
        for release in releases
        for file in release.files
        if not (target / file.path).is_file() or (target / file.path).stat().st_size != file.size_bytes
    ) - sum(part.stat().st_size for part in target.rglob("*" + PARTIAL))
    free = free_bytes(target)
    if missing + _SPARE_BYTES > free:
        wanted = f"{(missing + _SPARE_BYTES) / 1e9:.2f} GB free for what is left to fetch"
        raise CheckpointError(str(target), None, wanted, f"{free / 1e9:.2f} GB", "make room, or name another folder")


def _fetch(target: Path, release: Release, file: Remote, say: Say, endpoint: str | None) -> None:
    """One file, whole; what is there already and right is left alone, what is there in part is gone on with."""
    path = target / file.path
    if path.is_file() and _problem(path, file) is None:
        say("  is there already")
        return
    part = path.with_name(path.name + PARTIAL)
    _from_hub(f"{release.source}/{file.path}", lambda: _transfer(part, release, file, endpoint))
    if (problem := _problem(part, file)) is not None:
        part.unlink()
        expected, found = problem
        remedy = "it was removed; " + _AGAIN + ", or name another endpoint (HF_ENDPOINT) if it is so again"
        raise CheckpointError(str(path), None, expected, found, remedy)
    part.replace(path)
    if file.sha256 is not None:
        say(f"  sha256 {file.sha256}: {known.known_as(file.sha256) or 'not one of the files this version knows'}")


def _transfer(part: Path, release: Release, file: Remote, endpoint: str | None) -> None:
    """Append what is missing.  The hub's own `hf_hub_download` throws a cut file away, so one level below is used."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415 - as above
    from huggingface_hub.file_download import http_get  # noqa: PLC0415 - as above
    from huggingface_hub.utils._headers import build_hf_headers  # noqa: PLC0415 - as above

    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as stream:
        done = stream.tell()
        if done > file.size_bytes:  # of something else
            stream.truncate(0)
            done = 0
    with part.open("r+b") as stream:
        stream.seek(done)
        http_get(
            hf_hub_url(release.repository, file.path, revision=release.commit, endpoint=endpoint),
            stream,
            resume_size=done,
            headers=build_hf_headers(),
            expected_size=file.size_bytes,
            displayed_filename=file.path,
        )


def _problem(path: Path, file: Remote) -> tuple[str, str] | None:
    """What was expected and found, where a file is not the one the hub described."""
    if file.sha256 is not None:
        found = sha256_of(path)
        return None if found == file.sha256 else (f"sha256 {file.sha256}", found)
    if file.blob_id is not None:
        data = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        return None if found == file.blob_id else (f"git blob {file.blob_id}", found)
    size = path.stat().st_size
    return None if size == file.size_bytes else (f"{file.size_bytes} bytes", f"{size}")


def _write_down(target: Path, releases: Sequence[Release]) -> None:
    """manifest.yaml: every file with its hash, licence and source, and what is a third party's."""
    release, *others = releases
    write_manifest(target, "MegaTTS3", release.licence or "not stated", release.source)
    if others:
        path = target / FILE
        values = read_yaml(path)
        values["third_party"] = {
            file.path: f"{other.source}, licence: {other.licence or 'not stated'}; {known.THIRD_PARTY}"
            for other in others
            for file in other.files
        }
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _from_hub(what: str, ask: Callable[[], Any]) -> Any:  # Any: whatever the hub's library answers
    """Its many errors, as ours."""
    import httpx2  # noqa: PLC0415 - comes with huggingface_hub
    from huggingface_hub import errors  # noqa: PLC0415 - as above

    try:
        return ask()
    except errors.GatedRepoError as error:
        remedy = "accept its terms on its page, then set HF_TOKEN"
        raise CheckpointError(what, None, "a repository open to you", "one that asks for consent", remedy) from error
    except errors.RepositoryNotFoundError as error:
        remedy = "check the name; for a private repository set HF_TOKEN"
        raise CheckpointError(what, None, "a repository", "none of that name (404)", remedy) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(what, None, "a revision", "none of that name (404)", "check --revision") from error
    except errors.EntryNotFoundError as error:
        remedy = "the repository lost a file it lists: name another --revision"
        raise CheckpointError(what, None, "a file", "none (404)", remedy) from error
    except (OSError, httpx2.HTTPError) as error:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise CheckpointError(what, None, "room on the disk", "none left", f"make room; {_AGAIN}") from error
        first_line = next(iter(str(error).splitlines()), "")[:200]
        found = f"{type(error).__name__} {first_line}".strip()
        raise CheckpointError(what, None, "a whole answer", found, _AGAIN) from error
