"""File trees as listings, and what differs between two of them. Shares no code with cvbake, so that it can judge it.

Usage: trees.py expected LAYOUT OUT        what must be on a disk: the layers merged, as the OCI image specification says
       trees.py found DIRECTORY OUT        what a mounted disk has on it
       trees.py compare EXPECTED FOUND     the differences, counted by kind, as JSON

A listing has one JSON object per line and name. `expected` also prints the sizes of the image.
"""

import hashlib
import json
import os
import stat
import subprocess
import sys
import tarfile

import layout
from layers import xattrs

ATTRIBUTES = ["owner", "mode", "seconds", "nanoseconds", "xattrs", "device", "target", "content"]
KINDS = ["missing", "extra", "type", *ATTRIBUTES, "links"]
TYPES = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "fifo",
}
PIECE = 1 << 20


class Node:
    """An inode: its attributes, and for a directory the names in it."""

    def __init__(self, facts):
        self.facts = facts
        self.names = {}


def expected(path, out):
    """Merges the layers of a layout, writes the listing, and returns what the image's size is."""
    top = Node({"type": "dir"})
    sizes = {"layers": [], "entries": 0}
    for blob, compression in layout.layers(path):
        entries, whiteouts, tar_bytes = read_layer(blob, compression)
        layer = {"blob": blob, "compression": compression, "bytes": os.path.getsize(blob), "tar_bytes": tar_bytes}
        sizes["layers"].append(layer)
        sizes["entries"] += len(entries)
        # Whiteouts first: they are about lower layers only, wherever in the layer they stand.
        for parent, name in whiteouts:
            directory = find(top, parent)
            if directory and name is None:
                directory.names.clear()
            elif directory:
                directory.names.pop(name, None)
        for name, facts in entries:
            add(top, name, facts)
    listing = list(walk(top))
    save(listing, out)
    sizes["files"] = len(listing)
    inodes = {facts["first"]: facts.get("size", 0) for _, facts in listing}
    sizes["file_bytes"] = sum(inodes.values())
    return sizes


def read_layer(blob, compression):
    """The entries of a layer, its whiteouts (parent and name, or no name for an opaque directory), and its size."""
    entries, whiteouts = [], []
    with subprocess.Popen([compression, "-dc", blob], stdout=subprocess.PIPE) as process:
        source = Counted(process.stdout)
        with tarfile.open(fileobj=source, mode="r|", bufsize=PIECE) as tar:
            for info in tar:
                name = os.path.normpath(info.name)
                parent, _, last = name.rpartition("/")
                if last == ".wh..wh..opq":
                    whiteouts.append((parent, None))
                elif last.startswith(".wh."):
                    whiteouts.append((parent, last[4:]))
                else:
                    entries.append((name, read_entry(tar, info)))
                # tarfile keeps every entry it has seen, for random access that streams do not have.
                tar.members.clear()
        while source.read(PIECE):
            pass
    if process.returncode:
        raise SystemExit(f"{blob} cannot be read")
    return entries, whiteouts, source.count


def read_entry(tar, info):
    """The attributes of an archive's entry."""
    if info.islnk():
        return {"link": os.path.normpath(info.linkname)}
    seconds, _, fraction = info.pax_headers.get("mtime", str(int(info.mtime))).partition(".")
    facts = {
        "type": TYPES[info.type],
        "mode": info.mode & 0o7777,
        "owner": [info.uid, info.gid],
        "seconds": int(seconds),
        "nanoseconds": int(fraction.ljust(9, "0")[:9] or 0),
    }
    prefix = "SCHILY.xattr."
    attributes = {
        key[len(prefix):]: value.encode("utf-8", "surrogateescape").hex()
        for key, value in info.pax_headers.items()
        if key.startswith(prefix)
    }
    if attributes:
        facts["xattrs"] = attributes
    if info.isreg():
        facts["size"], facts["content"] = info.size, digest(tar.extractfile(info))
    elif info.issym():
        facts["target"] = info.linkname
    elif info.isdev() and not info.isfifo():
        facts["device"] = [info.devmajor, info.devminor]
    return facts


class Counted:
    """A stream that counts what is read of it."""

    def __init__(self, stream):
        self.stream, self.count = stream, 0

    def read(self, size):
        data = self.stream.read(size)
        self.count += len(data)
        return data


def find(top, path):
    """The node at a path, if all of it is there. These images never lead through a symbolic link."""
    node = top
    for part in filter(None, path.split("/")):
        node = node.names.get(part)
        if node is None:
            return None
        if node.facts["type"] == "symlink":
            raise SystemExit(f"{path} leads through a symbolic link, which this reader does not follow")
    return node


def add(top, path, facts):
    """Applies an entry of a layer."""
    if path == ".":
        top.facts = facts
        return
    parent, _, name = path.rpartition("/")
    directory = find(top, parent)
    if directory is None:
        raise SystemExit(f"{path} has no parent, which these images always have")
    if "link" in facts:
        directory.names[name] = find(top, facts["link"])
        return
    old = directory.names.get(name)
    if old and old.facts["type"] == facts["type"] == "dir":
        old.facts = facts
    else:
        directory.names[name] = Node(facts)


def walk(top):
    """Every name of a merged tree with its attributes. `first` is the first name of the inode, so that links show."""
    firsts = {}

    def below(node, prefix):
        for name in sorted(node.names):
            child, path = node.names[name], prefix + name
            yield path, {**child.facts, "first": firsts.setdefault(id(child), path)}
            yield from below(child, path + "/")

    yield from below(top, "")


def found(top):
    """Every name below a directory with its attributes, in the order and form of `walk`."""
    firsts = {}

    def below(directory, prefix):
        for name in sorted(os.listdir(directory)):
            full, path = os.path.join(directory, name), prefix + name
            if path == "lost+found":
                continue
            status = os.lstat(full)
            facts = {
                "mode": status.st_mode & 0o7777,
                "owner": [status.st_uid, status.st_gid],
                "first": firsts.setdefault(status.st_ino, path),
            }
            facts["seconds"], facts["nanoseconds"] = divmod(status.st_mtime_ns, 10**9)
            if attributes := xattrs(full):
                facts["xattrs"] = {key: value.hex() for key, value in attributes}
            kind = facts["type"] = TYPE_OF_MODE.get(stat.S_IFMT(status.st_mode), "other")
            if kind == "file":
                facts["size"] = status.st_size
                with open(full, "rb") as file:
                    facts["content"] = digest(file)
            elif kind == "symlink":
                facts["target"] = os.readlink(full)
            elif kind in ("char", "block"):
                facts["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
            yield path, facts
            if kind == "dir":
                yield from below(full, path + "/")

    return below(top, "")


TYPE_OF_MODE = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFIFO: "fifo",
}


def digest(file):
    """The SHA-256 of a file's bytes."""
    hasher = hashlib.sha256()
    while piece := file.read(PIECE):
        hasher.update(piece)
    return hasher.hexdigest()


def compare(wanted, seen):
    """Counts the differences by kind; a name of another type counts for nothing else."""
    wrong = dict.fromkeys(KINDS, 0)
    examples = {}

    def count(kind, path):
        wrong[kind] += 1
        examples.setdefault(kind, path)

    for path in seen.keys() - wanted.keys():
        count("extra", path)
    for path, facts in wanted.items():
        other = seen.get(path)
        if other is None:
            count("missing", path)
        elif facts["type"] != other["type"]:
            count("type", path)
        else:
            for kind in ATTRIBUTES:
                # The kernel shows every symbolic link with the same mode.
                if facts.get(kind) != other.get(kind) and not (kind == "mode" and facts["type"] == "symlink"):
                    count(kind, path)
            if facts["first"] != other["first"]:
                count("links", path)
    return {"wrong": wrong, "examples": examples}


def save(listing, path):
    with open(path + ".part", "w") as out:
        for name, facts in listing:
            out.write(json.dumps({"path": name, **facts}) + "\n")
    os.rename(path + ".part", path)


def load(path):
    with open(path) as file:
        return {facts.pop("path"): facts for facts in map(json.loads, file)}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["expected", source, target]:
            print(json.dumps(expected(source, target)))
        case ["found", source, target]:
            save(found(source), target)
        case ["compare", first, second]:
            print(json.dumps(compare(load(first), load(second))))
        case _:
            raise SystemExit(__doc__)
