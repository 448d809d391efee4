"""Changes to files that keep enough of their structure to get far into the code that reads them."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile

#: Numbers at the edges of what formats and code can hold.
EDGES = [0, 1, 2, 3, 7, 255, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1]
VALUES = [
    None, True, False, 0, -1, 1, 10**9, 10**12, 2**63, -(2**70), 1e308, float("nan"), float("inf"), "", "x", "0",
    "conv2d", "os.system", [], {}, [[]], [None], {"class_name": "Dense"}, {"class_name": "Dense", "config": {}},
    {"class_name": "__lambda__", "config": {"code": "AAAA"}}, {"class_name": "__tuple__", "items": [1]}, [1] * 40,
]  # fmt: skip


def flip(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        if changed:
            place = written(data, rng)
            changed[place] = rng.choice([0, 1, 127, 255, changed[place] ^ (1 << rng.randrange(8)), rng.randrange(256)])
    return bytes(changed)


def written(data: bytes, rng: random.Random) -> int:
    """Choose a place, mostly one where something stands: files have long stretches of zeros that nobody reads."""
    for _ in range(20):
        place = rng.randrange(len(data))
        if data[place] or rng.random() < 0.05:
            break
    return place


def number(data: bytes, rng: random.Random) -> bytes:
    """Put another number where one may stand: an edge, a place in the file, or one that stands elsewhere in it."""
    changed = bytearray(data)
    size = rng.choice([1, 2, 4, 8])
    if len(changed) < 16:
        return flip(data, rng)
    place = min(written(data, rng), len(changed) - size)
    if rng.random() < 0.8:
        place -= place % min(size, 8)
    elsewhere = rng.randrange(len(changed) - size)
    candidates = [rng.choice(EDGES), len(data), len(data) - rng.randrange(64), rng.randrange(len(data)),
                  int.from_bytes(changed[elsewhere : elsewhere + size], "little"),
                  int.from_bytes(changed[place : place + size], "little") + rng.choice([-8, -1, 1, 8])]  # fmt: skip
    changed[place : place + size] = (rng.choice(candidates) % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(changed)


def move(data: bytes, rng: random.Random) -> bytes:
    """Cut off, cut out, double or exchange stretches of bytes."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    size = min(rng.choice([8, 40, 200]), len(data) - b)
    return rng.choice(
        [data[:a], data[:a] + data[b:], data[:b] + data[a:], data[:a] + data[b : b + size] + data[a + size :]]
    )


def raw(data: bytes, rng: random.Random) -> bytes:
    """Change bytes, whatever they mean."""
    return rng.choice([flip, flip, number, number, number, move])(data, rng)


def value(tree: object, rng: random.Random) -> object:
    """Change one thing in what JSON held: replace, remove, double, exchange or bury it."""
    places: list[tuple[object, object]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in list(items):
            places.append((node, key))
            waiting.append(child)
    if not places:
        return rng.choice(VALUES)
    node, key = rng.choice(places)
    action = rng.randrange(6)
    other, other_key = rng.choice(places)
    if action == 0:
        del node[key]
    elif action == 1:
        node[key] = copy.deepcopy(other[other_key])
    elif action == 2 and isinstance(node[key], (int, float)) and not isinstance(node[key], bool):
        node[key] = rng.choice([node[key] + 1, -node[key], node[key] * 10**6, node[key] / 3, *EDGES])
    elif action == 3 and isinstance(node, dict):
        node[rng.choice(["x", "name", "config", "class_name", "units", "training", "mask"])] = rng.choice(VALUES)
    elif action == 4:
        for _ in range(rng.choice([1, 3, 200])):
            # A depth that the writer of the mutation can still write.
            node[key] = [node[key]]
    else:
        node[key] = rng.choice(VALUES)
    return tree


def text(data: bytes, rng: random.Random) -> bytes:
    """Change JSON, mostly so that it stays JSON."""
    if rng.random() < 0.15:
        return raw(data, rng)
    tree = json.loads(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        tree = value(tree, rng)
    return json.dumps(tree).encode() if rng.random() < 0.98 else b"[" * 3000 + b"]" * 3000


def array_header(data: bytes, rng: random.Random) -> bytes:
    """Change the header of an .npy file."""
    size = struct.unpack("<H", data[8:10])[0]
    header = data[10 : 10 + size].decode().strip()
    swaps = [("<f4", rng.choice(["|O", "<f8", "<i4", "<U9", "|V0", "<f2", ">c16", "S99999999"])),
             ("(", rng.choice(["(99999999999,", "(-1,", "(0,", "((", "[", "(1e9,"])),
             ("False", rng.choice(["True", "None", "__import__('os')", "9**9**9"]))]  # fmt: skip
    changed = header.replace(*rng.choice(swaps)).encode() if rng.random() < 0.7 else raw(header.encode(), rng)
    return data[:8] + struct.pack("<H", len(changed) % 2**16) + changed + data[10 + size :]


def safetensors(data: bytes, rng: random.Random) -> bytes:
    """Change a safetensors file: the header, its length, or anything."""
    size = struct.unpack("<Q", data[:8])[0]
    if rng.random() < 0.6:
        header = text(data[8 : 8 + size], rng)
        return struct.pack("<Q", len(header)) + header + data[8 + size :]
    if rng.random() < 0.3:
        return struct.pack("<Q", rng.choice(EDGES)) + data[8:]
    return raw(data, rng)


def archive(data: bytes, rng: random.Random) -> bytes:
    """Change a zip archive: a member after its kind, its name, its packing, or anything."""
    if rng.random() < 0.2:
        return raw(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        members = [(name, source.read(name)) for name in source.namelist()]
    place = rng.randrange(len(members))
    name, content = members[place]
    kinds = {".json": text, ".safetensors": safetensors, ".h5": raw, ".npy": array_header}
    action = rng.random()
    if action < 0.85:
        members[place] = name, kinds["." + name.rpartition(".")[2]](content, rng)
    elif action < 0.9:
        members[place] = rng.choice(["../" + name, "/" + name, name.upper(), "x" * 300, name + "\\..\\x"]), content
    elif action < 0.95:
        members[place] = name, rng.choice([b"", content * 2, members[rng.randrange(len(members))][1]])
    else:
        del members[place]
    out = io.BytesIO()
    packing = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(out, "w", packing) as target:
        for name, content in members:
            # A fixed date: the same change in every run.
            target.writestr(zipfile.ZipInfo(name), content, packing)
    return out.getvalue()


def hdf5(data: bytes, rng: random.Random) -> bytes:
    """Change an HDF5 file: the JSON in its heap, in place, or anything."""
    start = data.find(b'{"class_name"')
    if start >= 0 and rng.random() < 0.4:
        end = start + json.JSONDecoder().raw_decode(data[start:].decode("latin-1"))[1]
        changed = text(data[start:end], rng)
        # The heap says how long the string is; blanks after JSON do not matter, and too long a one is cut.
        return data[:start] + changed.ljust(end - start)[: end - start] + data[end:]
    return raw(data, rng)
