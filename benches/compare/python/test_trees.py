"""What judges the disks is judged here: python3 -m unittest discover -s benches/compare/python"""

import io
import os
import tarfile
import tempfile
import unittest

import layout
import trees


class Trees(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.work = scratch.name

    def image(self, *layers, compression="gzip"):
        """Writes an image; each layer is a list of names, contents, and what else to set."""
        blobs = []
        for number, entries in enumerate(layers):
            path = f"{self.work}/{number}.tar"
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
                for name, content, *attributes in entries:
                    info = tarfile.TarInfo(name)
                    info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
                    info.size = len(content or b"")
                    for key, value in dict(*attributes).items():
                        setattr(info, key, value)
                    tar.addfile(info, io.BytesIO(content or b""))
            blobs.append(layout.compress(path, self.work + "/pool", compression))
        layout.write(self.work + "/image", self.work + "/pool", blobs)
        sizes = trees.expected(self.work + "/image", self.work + "/tree")
        return trees.load(self.work + "/tree"), sizes

    def test_layers_are_merged(self):
        lower = [("a", None), ("a/gone", b"1"), ("a/kept", b"2"), ("b", None), ("b/hidden", b"3"), ("c", None), ("c/x", b"4")]
        # The new name stands before the marker that hides the old ones.
        upper = [("a", None), ("a/.wh.gone", b""), ("b", None), ("b/new", b"5"), ("b/.wh..wh..opq", b""), ("c", b"a file now")]
        for compression in ["gzip", "zstd"]:
            tree, sizes = self.image(lower, upper, compression=compression)
            self.assertEqual(sorted(tree), ["a", "a/kept", "b", "b/new", "c"])
            self.assertEqual(tree["c"]["type"], "file")
            self.assertEqual((sizes["entries"], sizes["files"], sizes["file_bytes"]), (11, 5, 12))
            self.assertTrue(all(layer["tar_bytes"] >= 10240 for layer in sizes["layers"]))

    def test_attributes_are_read(self):
        attributes = {"mode": 0o4755, "uid": 2_000_000, "gid": 7, "mtime": 1_700_000_000}
        attributes["pax_headers"] = {"mtime": "1700000000.000000012", "SCHILY.xattr.user.x": "\0=\n"}
        tree, _ = self.image([("f", b"", attributes), ("g", b"", {"type": tarfile.LNKTYPE, "linkname": "f"})])
        facts = tree["f"]
        self.assertEqual((facts["mode"], facts["owner"], facts["seconds"]), (0o4755, [2_000_000, 7], 1_700_000_000))
        self.assertEqual((facts["nanoseconds"], facts["xattrs"]), (12, {"user.x": "003d0a"}))
        self.assertEqual(tree["g"]["first"], "f")

    def test_a_directory_is_what_its_image_says(self):
        owner = {"uid": os.getuid(), "gid": os.getgid(), "mode": 0o640, "mtime": 5}
        wanted, _ = self.image([("d", None, owner | {"mode": 0o755}), ("d/f", b"1", owner), ("d/g", b"22", owner)])
        top = self.work + "/found"
        os.makedirs(top + "/d")
        for name, content in [("f", "1"), ("g", "22")]:
            with open(f"{top}/d/{name}", "w") as file:
                file.write(content)
            os.chmod(f"{top}/d/{name}", 0o640)
            os.utime(f"{top}/d/{name}", (5, 5))
        os.chmod(top + "/d", 0o755)
        os.utime(top + "/d", (5, 5))
        self.assertEqual(self.differences(wanted, top), {})
        os.utime(f"{top}/d/f", ns=(0, 5_000_000_001))
        os.chmod(f"{top}/d/f", 0o600)
        os.remove(f"{top}/d/g")
        os.link(f"{top}/d/f", f"{top}/d/h")
        os.utime(top + "/d", (5, 5))
        self.assertEqual(self.differences(wanted, top), {"missing": 1, "extra": 1, "mode": 1, "nanoseconds": 1})

    def differences(self, wanted, top):
        trees.save(trees.found(top), self.work + "/listing")
        counts = trees.compare(wanted, trees.load(self.work + "/listing"))["wrong"]
        return {kind: count for kind, count in counts.items() if count}


if __name__ == "__main__":
    unittest.main()
