"""OCI image layouts: tars become blobs, with a config, a manifest and an index around them."""

import hashlib
import json
import os
import platform
import shutil
import subprocess

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
CREATED = "2025-01-01T00:00:00Z"
COMPRESSORS = {
    "gzip": ["gzip", "-6", "-n", "-c"],
    "gzip-fast": ["gzip", "-1", "-n", "-c"],
    "zstd": ["zstd", "-3", "-q", "-c"],
}


class Blob:
    """A layer that is compressed and stored."""

    def __init__(self, digest, size, diff_id, compression):
        self.digest, self.size, self.diff_id, self.compression = digest, size, diff_id, compression


def compress(tar, pool, compression="gzip"):
    """Compresses a layer into the pool of blobs; what is there already is not done again."""
    os.makedirs(pool, exist_ok=True)
    diff_id = file_digest(tar)
    note = os.path.join(pool, f"{diff_id}.{compression}.json")
    if not os.path.exists(note):
        part = os.path.join(pool, f"{diff_id}.part")
        with open(part, "wb") as out:
            subprocess.run([*COMPRESSORS[compression], tar], stdout=out, check=True)
        digest, size = file_digest(part), os.path.getsize(part)
        os.rename(part, os.path.join(pool, digest))
        with open(note, "w") as out:
            json.dump([digest, size, diff_id, compression.partition("-")[0]], out)
    with open(note) as file:
        return Blob(*json.load(file))


def write(layout, pool, blobs):
    """Writes the layout of an image; it appears when it is whole."""
    part = layout + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part + "/blobs/sha256")
    for blob in blobs:
        place = f"{part}/blobs/sha256/{blob.digest}"
        if not os.path.exists(place):
            os.link(os.path.join(pool, blob.digest), place)
    config = {
        "created": CREATED,
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + blob.diff_id for blob in blobs]},
        "history": [{"created": CREATED, "created_by": "bench"} for _ in blobs],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _put(part, "application/vnd.oci.image.config.v1+json", config),
        "layers": [
            _descriptor("application/vnd.oci.image.layer.v1.tar+" + blob.compression, blob.digest, blob.size)
            for blob in blobs
        ],
    }
    entry = _put(part, manifest["mediaType"], manifest)
    entry["platform"] = {"architecture": ARCHITECTURE, "os": "linux"}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    _json(part + "/index.json", {"schemaVersion": 2, "manifests": [entry]})
    _json(part + "/oci-layout", {"imageLayoutVersion": "1.0.0"})
    shutil.rmtree(layout, ignore_errors=True)
    os.rename(part, layout)


def layers(layout):
    """The layers of a layout, lowest first: the file of each blob, and whether it is gzip or zstd."""
    return [(_place(layout, "sha256:" + blob.digest), blob.compression) for blob in blobs(layout)]


def blobs(layout):
    """The layers of a layout, lowest first, to make another image of."""
    manifest = _read(_place(layout, _read(layout + "/index.json")["manifests"][0]["digest"]))
    diff_ids = _read(_place(layout, manifest["config"]["digest"]))["rootfs"]["diff_ids"]
    return [
        Blob(layer["digest"][7:], layer["size"], diff_id[7:], layer["mediaType"].rpartition("+")[2])
        for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True)
    ]


def file_digest(path):
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(layout, digest):
    return os.path.join(layout, "blobs", digest.replace(":", "/"))


def _read(path):
    with open(path) as file:
        return json.load(file)


def _descriptor(media_type, digest, size):
    return {"mediaType": media_type, "digest": "sha256:" + digest, "size": size}


def _put(layout, media_type, document):
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    with open(f"{layout}/blobs/sha256/{digest}", "wb") as file:
        file.write(data)
    return _descriptor(media_type, digest, len(data))


def _json(path, document):
    with open(path, "w") as file:
        json.dump(document, file)
