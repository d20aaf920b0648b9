"""Arrow files that anybody may have written: read in place, for no more memory than they have bytes.

Such a file can say that its columns are compressed (a hundred kilobytes hold gigabytes), and its footer can name the same rows
any number of times. Nothing of this program is compressed, so what is counts as unreadable; and the footer is not read: the
messages before it are a stream of their own (the Arrow columnar format, "IPC File Format").
"""

import struct
from pathlib import Path

import pyarrow as pa

_MAGIC = b"ARROW1\0\0"
_DATA, _COMPRESSION = 1, 3
"""Fields: of `DictionaryBatch` the batch, of `RecordBatch` how its buffers are compressed (Message.fbs)."""
_HEADER = 2


def content_of(path: Path, *, map_it: bool = False) -> pa.Buffer:
    """The bytes of a file, which stay on disk where they are mapped. Raises OSError."""
    if not path.is_file():
        raise FileNotFoundError(path)  # a pipe would never end
    with pa.memory_map(str(path)) if map_it else pa.OSFile(str(path)) as file:
        return file.read_buffer()


def table_of(content: pa.Buffer) -> pa.Table:
    """The table that an Arrow file holds, its columns in `content` itself; what it says of them has been checked. Raises
    ArrowException, OSError."""
    if content[: len(_MAGIC)].to_pybytes() != _MAGIC:
        raise pa.ArrowInvalid("it is not an Arrow file")
    messages = content[len(_MAGIC) :]
    try:
        _refuse_compressed(pa.BufferReader(messages))
    except (struct.error, ValueError) as error:  # ArrowInvalid is a ValueError
        raise pa.ArrowInvalid(str(error)) from error
    with pa.ipc.open_stream(messages) as reader:
        table = reader.read_all()
    table.validate(full=True)  # nothing points outside its columns
    return table


def _refuse_compressed(source: pa.BufferReader) -> None:
    while True:
        try:
            message = pa.ipc.read_message(source)
        except EOFError:
            return
        head = memoryview(message.metadata)
        header = _field(head, struct.unpack_from("<I", head)[0], _HEADER)
        if message.type == "dictionary":
            header = _field(head, header, _DATA)
        if message.type != "schema" and _field(head, header, _COMPRESSION):
            raise pa.ArrowInvalid("it is compressed")


def _field(head: memoryview, table: int, number: int) -> int:
    """Where the table stands that is a field of another table, 0 where it is missing (FlatBuffers' encoding)."""
    if not table:
        return 0
    fields = table - struct.unpack_from("<i", head, table)[0]
    size = struct.unpack_from("<H", head, fields)[0]
    place = 4 + 2 * number
    at = struct.unpack_from("<H", head, fields + place)[0] if place + 2 <= size else 0
    return table + at + struct.unpack_from("<I", head, table + at)[0] if at else 0
