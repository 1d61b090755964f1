"""Reading a large config in a process of its own, so that no request waits for it.

A thread would not do: it shares the interpreter with the event loop, and each of the loop's many
short turns would have to win it back. Text, environment and result travel through pipes only, never
in arguments. The result comes in small pieces, a turn of the loop each; the tables that look-ups
need are made over there too.
"""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from subprocess import DEVNULL, PIPE
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct, structs

from plexus_proxy.config.load import load
from plexus_proxy.config.model import Config
from plexus_proxy.config.problems import Problem
from plexus_proxy.config.snapshot import Snapshot
from plexus_proxy.crypto import Secret

_PIECE = 200
"""Entries of a mapping or a list that travel, and are decoded, at once: a fraction of a ms."""
_SIZE_BYTES = 4
_LIMIT_S = 120
_NICE = 5
"""Requests come first where processors are few."""

_BOOT = "import sys; sys.path[:] = {path!r}; from {module} import main; main()"


class Unavailable(Exception):
    """The other process could not be started or has failed; says nothing about the config."""


class _Job(Struct, frozen=True):
    text: str
    environment: dict[str, str]
    loopback: bool


class _Piece(Struct, frozen=True, array_like=True):
    """A field's value, or some entries of it."""

    owner: str
    field: str
    value: Raw


def _secret_out(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret_in(kind: type, value: Any) -> Any:
    assert kind is Secret
    return Secret(value)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_secret_out)
_PIECES = msgspec.msgpack.Decoder(_Piece)
_OWNERS = {"config": Config, "snapshot": Snapshot}
_PROBLEMS = ("problems", "")
_DECODERS: Mapping[tuple[str, str], msgspec.msgpack.Decoder[Any]] = {
    _PROBLEMS: msgspec.msgpack.Decoder(list[Problem]),
    **{
        (owner, field.name): msgspec.msgpack.Decoder(field.type, dec_hook=_secret_in)
        for owner, kind in _OWNERS.items()
        for field in structs.fields(kind)
        if field.type is not Config
    },
}


async def load_apart(
    text: str, environment: Mapping[str, str], *, loopback: bool
) -> tuple[Snapshot | None, list[Problem]]:
    """What `load` says. Raises Unavailable."""
    try:
        job = _ENCODER.encode(_Job(text, dict(environment), loopback))
        return await _assembled(await _answer(job))
    except (OSError, ValueError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise Unavailable(type(error).__name__) from None  # its words could quote the config


async def _answer(job: bytes) -> bytes:
    """All that the other process says. Not started by the loop's own means: uvloop forks, which
    halts us for the longer the more memory we use; this takes some 2 ms."""
    process = _start()
    try:
        answer, _ = await asyncio.to_thread(process.communicate, job, _LIMIT_S)
    finally:
        process.kill()  # a reload that is cancelled, or takes too long, leaves nothing behind
        await asyncio.to_thread(process.wait)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return answer


def _start() -> subprocess.Popen[bytes]:
    boot = _BOOT.format(path=sys.path, module=__name__)
    return subprocess.Popen(
        [sys.executable, "-I", "-c", boot], stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )


async def _assembled(answer: bytes) -> tuple[Snapshot | None, list[Problem]]:
    rest = memoryview(answer)
    found: dict[tuple[str, str], Any] = {}
    while rest:
        end = _SIZE_BYTES + int.from_bytes(rest[:_SIZE_BYTES], "big")
        piece = _PIECES.decode(rest[_SIZE_BYTES:end])
        rest = rest[end:]
        place = (piece.owner, piece.field)
        value = _DECODERS[place].decode(piece.value)
        if place not in found:
            found[place] = value
        elif isinstance(value, dict):
            found[place].update(value)
        else:
            found[place].extend(value)
        await asyncio.sleep(0)
    if _PROBLEMS not in found:
        raise ValueError("no answer")
    problems = cast("list[Problem]", found.pop(_PROBLEMS))
    if not found:
        return None, problems
    config = Config(**_fields(found, "config"))
    return Snapshot(config=config, **_fields(found, "snapshot")), problems


def _fields(found: Mapping[tuple[str, str], Any], owner: str) -> dict[str, Any]:
    return {field: value for (whose, field), value in found.items() if whose == owner}


def main() -> None:
    """The other process: a job on stdin, pieces with their sizes on stdout."""
    gc.disable()  # nothing here lives long
    os.nice(_NICE)
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Job)
    snapshot, problems = load(job.text, job.environment, loopback=job.loopback)
    for piece in _pieces(snapshot, problems):
        data = _ENCODER.encode(piece)
        sys.stdout.buffer.write(len(data).to_bytes(_SIZE_BYTES, "big") + data)
    sys.stdout.buffer.flush()


def _pieces(snapshot: Snapshot | None, problems: list[Problem]) -> Iterator[_Piece]:
    for start in range(0, max(len(problems), 1), _PIECE):
        yield _piece(_PROBLEMS, problems[start : start + _PIECE])
    if snapshot is None:
        return
    for owner, holder in (("config", snapshot.config), ("snapshot", snapshot)):
        for name in holder.__struct_fields__:
            place, value = (owner, name), getattr(holder, name)
            if isinstance(value, dict):
                entries = iter(cast("dict[Any, Any]", value).items())
                yield _piece(place, dict(islice(entries, _PIECE)))
                while some := dict(islice(entries, _PIECE)):
                    yield _piece(place, some)
            elif place in _DECODERS:
                yield _piece(place, value)


def _piece(place: tuple[str, str], value: Any) -> _Piece:
    return _Piece(*place, Raw(_ENCODER.encode(value)))
