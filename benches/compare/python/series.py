"""Images that only grow, for the series, and pairs that differ in one small layer. Needs neither root nor a network.

Usage: series.py WORK files|layers|bytes N      WORK/layouts/files-N and so on; bytes are in units of 1,000,000
       series.py WORK pair NAME                 WORK/layouts/NAME-a and NAME-b: the image NAME with another layer on top
"""

import functools
import io
import os
import random
import sys
import tarfile

import layout

SMALL = 2_000
LAYERED_FILES = 16_384
LARGE = 16_000_000
TOP_LAYER = 1_000_000


class Maker:
    """Makes images in a work folder."""

    def __init__(self, work):
        self.work, self.pool = work, work + "/pool"
        os.makedirs(work + "/layouts", exist_ok=True)
        os.makedirs(work + "/tars", exist_ok=True)

    def files(self, n):
        """So many small files, 1000 to a directory, in one layer."""
        self.one_layer(f"files-{n}", ((f"d{at // 1000}/f{at}", SMALL) for at in range(n)))

    def bytes(self, megabytes):
        """Large files in one layer."""
        count = max(1, megabytes * 1_000_000 // LARGE)
        self.one_layer(f"bytes-{megabytes}", ((f"data/{at}.bin", megabytes * 1_000_000 // count) for at in range(count)))

    def layers(self, n):
        """The same files in more and more layers."""
        share = LAYERED_FILES // n
        blobs = [
            self.layer(f"layers-{n}-{at}", [(f"d{at // 1000}/f{at}", SMALL) for at in range(at * share, (at + 1) * share)])
            for at in range(n)
        ]
        layout.write(f"{self.work}/layouts/layers-{n}", self.pool, blobs)

    def pair(self, name):
        """Two images with the same layers but the top one."""
        below = layout.blobs(f"{self.work}/layouts/{name}")
        for which, seed in [("a", 1), ("b", 2)]:
            top = self.layer(f"top-{which}", [("srv/release.bin", TOP_LAYER)], seed)
            layout.write(f"{self.work}/layouts/{name}-{which}", self.pool, [*below, top])

    def one_layer(self, name, files):
        layout.write(f"{self.work}/layouts/{name}", self.pool, [self.layer(name, files)])

    def layer(self, name, files, seed=0):
        """A layer of files; its tar goes when it is compressed, because it may be large."""
        path = f"{self.work}/tars/{name}.tar"
        content, parents = content_of(seed), set()
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for file, size in files:
                parent = file.rpartition("/")[0]
                if parent not in parents:
                    parents.add(parent)
                    tar.addfile(info(parent, tarfile.DIRTYPE, 0o755, 0))
                tar.addfile(info(file, tarfile.REGTYPE, 0o644, size), content.take(size))
                # tarfile remembers every entry, for readers.
                tar.members.clear()
        blob = layout.compress(path, self.pool, "gzip-fast")
        os.remove(path)
        return blob


@functools.cache
def content_of(seed):
    """Making it takes a while."""
    return Content(seed)


class Content:
    """Bytes some of which compress, different from file to file."""

    BLOCK = 4 << 20

    def __init__(self, seed):
        chance = random.Random(seed)
        words = [chance.randbytes(chance.randrange(3, 12)) for _ in range(4000)]
        pieces, size = [], 0
        while size < self.BLOCK + LARGE:
            piece = chance.randbytes(400) + b" ".join(chance.choices(words, k=80))
            pieces.append(piece)
            size += len(piece)
        self.block, self.at = b"".join(pieces), 0

    def take(self, size):
        self.at = (self.at + 100_003) % self.BLOCK
        pieces = [self.block[self.at : self.at + min(LARGE, size - done)] for done in range(0, size, LARGE)]
        return io.BytesIO(b"".join(pieces))


def info(name, kind, mode, size):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, 1_700_000_000
    return entry


if __name__ == "__main__":
    match sys.argv[1:]:
        case [work, "pair", name]:
            if not os.path.exists(f"{work}/layouts/{name}-b"):
                Maker(work).pair(name)
        case [work, kind, n] if kind in ("files", "layers", "bytes"):
            if not os.path.exists(f"{work}/layouts/{kind}-{n}"):
                getattr(Maker(work), kind)(int(n))
        case _:
            raise SystemExit(__doc__)
