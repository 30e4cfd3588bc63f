"""A file that can be trusted: JSON and safetensors in one zip, checksummed, written whole or not at all. No pickle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

FORMAT = 1
HEADER, TENSORS, CHECKSUM = "header.json", "tensors.safetensors", "header.sha256"
MAX_HEADER = 64 * 2**20
MAX_TENSORS = 16 * 2**30

Source = str | os.PathLike[str] | IO[bytes]


class CheckpointError(ValueError):
    """A file that is not ours, torn, altered, or does not fit what it is loaded into; the message names the part."""


def write(target: Source, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    """Write header and tensors to a path (through a temporary file, fsync and rename) or an open binary file.

    Raises:
        OSError: if the target can't be written; an existing file is then as it was.
    """
    body = save_tensors({name: np.asarray(array, order="C") for name, array in tensors.items()})
    header = {"format": FORMAT, "sha256": {TENSORS: _digest(body)}} | header
    text = json.dumps(header, indent=1, allow_nan=False).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((HEADER, text), (CHECKSUM, _digest(text).encode()), (TENSORS, body)):
            archive.writestr(zipfile.ZipInfo(name), data)
    if isinstance(target, str | os.PathLike):
        _replace(Path(target), buffer.getvalue())
    else:
        target.write(buffer.getvalue())


def read_header(source: Source) -> dict[str, Any]:
    """The verified header alone.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is foreign or torn.
    """
    with _open(source) as archive:
        return _header(archive, source)


def read(source: Source) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and tensors, both verified against their checksums.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is foreign, torn or altered.
    """
    with _open(source) as archive:
        header = _header(archive, source)
        body = _member(archive, TENSORS, MAX_TENSORS, source)
    if _digest(body) != header["sha256"][TENSORS]:
        raise CheckpointError(f"{_name(source)}: {TENSORS} does not match its checksum; the file is damaged")
    try:
        return header, load_tensors(body)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{_name(source)}: {TENSORS} is not readable: {error}") from error


def _open(source: Source) -> zipfile.ZipFile:
    if isinstance(source, str | os.PathLike) and not Path(source).is_file():
        raise FileNotFoundError(f"no checkpoint at {source}")
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(f"{_name(source)}: not a checkpoint ({error})") from error


def _header(archive: zipfile.ZipFile, source: Source) -> dict[str, Any]:
    if HEADER not in archive.namelist() and "data" in archive.namelist():
        raise CheckpointError(f"{_name(source)}: a Stable-Baselines3 file, which holds pickles; it is not loaded")
    text = _member(archive, HEADER, MAX_HEADER, source)
    if _digest(text).encode() != _member(archive, CHECKSUM, 64, source):
        raise CheckpointError(f"{_name(source)}: {HEADER} does not match its checksum; the file is damaged")
    try:
        header = json.loads(text)
        version = header["format"]
        if not isinstance(header["sha256"][TENSORS], str):
            raise TypeError("checksum")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{_name(source)}: {HEADER} is not a checkpoint's header ({error!r})") from error
    if version > FORMAT:
        raise CheckpointError(f"{_name(source)}: format {version} needs a newer version of this package")
    return header


def _member(archive: zipfile.ZipFile, name: str, limit: int, source: Source) -> bytes:
    try:
        info = archive.getinfo(name)
        if info.file_size > limit or info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{_name(source)}: {name} is larger than {limit} bytes or compressed; not ours")
        return archive.read(info)
    except KeyError as error:
        raise CheckpointError(f"{_name(source)}: {name} is missing; not a checkpoint of this package") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{_name(source)}: {name} is not readable ({error})") from error


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", "<file>")
