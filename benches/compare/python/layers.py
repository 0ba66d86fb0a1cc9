"""Layers out of directories: what has changed in a root filesystem since the last layer, as the tar of an OCI layer.

Names are sorted and times of building are cut off at EPOCH, so that the same packages give the same bytes.
"""

import os
import stat
import tarfile

# Nothing in an image is younger: what a build touches gets this time instead of the clock's.
EPOCH = 1735689600


class Root:
    """A directory that becomes an image, layer by layer."""

    def __init__(self, path):
        self.path = path
        self.known = {}

    def see(self):
        """Takes what is there as known: it is in a layer already."""
        self.known = dict(scan(self.path))

    def layer(self, tar_path, opaque=()):
        """Writes what is new, changed or gone as a layer. Directories in `opaque` hide what lower layers have in them."""
        now = dict(scan(self.path))
        inside_opaque = lambda name: any(name.startswith(top + "/") for top in opaque)
        entries = {
            name: True
            for name, facts in now.items()
            if not stat.S_ISSOCK(facts[0]) and (self.known.get(name) != facts or name in opaque or inside_opaque(name))
        }
        for name in opaque:
            entries[name + "/.wh..wh..opq"] = False
        for name in self.known:
            parent, _, last = name.rpartition("/")
            # Only the uppermost of what is gone: the rest goes with it, or with what stands in its parent's place.
            if name not in now and not inside_opaque(name) and (not parent or stat.S_ISDIR(now.get(parent, (0,))[0])):
                entries[f"{parent}/.wh.{last}" if parent else f".wh.{last}"] = False
        # Parents come along, as they do with overlay filesystems.
        for name in list(entries):
            while name := name.rpartition("/")[0]:
                entries.setdefault(name, True)
        with tarfile.open(tar_path, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(entries, key=lambda name: [os.fsencode(part) for part in name.split("/")]):
                if entries[name]:
                    self._add(tar, name)
                else:
                    whiteout = tarfile.TarInfo(name)
                    whiteout.mtime = EPOCH
                    tar.addfile(whiteout)
        self.known = now

    def _add(self, tar, name):
        path = os.path.join(self.path, name)
        info = tar.gettarinfo(path, arcname=name)
        info.uname = info.gname = ""
        seconds, nanoseconds = divmod(os.lstat(path).st_mtime_ns, 10**9)
        if seconds >= EPOCH:
            seconds, nanoseconds = EPOCH, 0
        info.mtime = seconds
        if nanoseconds:
            info.pax_headers["mtime"] = f"{seconds}.{nanoseconds:09}"
        for key, value in xattrs(path):
            info.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        if info.isreg():
            with open(path, "rb") as content:
                tar.addfile(info, content)
        else:
            tar.addfile(info)


def xattrs(path):
    """The extended attributes of a file that belong into an archive."""
    names = os.listxattr(path, follow_symlinks=False)
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))


def scan(top, below=""):
    """Every name below a directory, with what tells whether it has changed."""
    for entry in os.scandir(os.path.join(top, below)):
        name = f"{below}/{entry.name}" if below else entry.name
        facts = entry.stat(follow_symlinks=False)
        is_dir = stat.S_ISDIR(facts.st_mode)
        target = os.readlink(entry.path) if entry.is_symlink() else ""
        size = 0 if is_dir else facts.st_size
        owner = (facts.st_uid, facts.st_gid)
        yield name, (facts.st_mode, owner, size, facts.st_mtime_ns, facts.st_ino, facts.st_rdev, target, xattrs(entry.path))
        if is_dir:
            yield from scan(top, name)
