"""The images of the comparison, made of packages from Debian, PyPI and npm. Needs root, for debootstrap and chroot.

Usage: images.py WORK NAME...      names: tiny debian python python-zstd python-easy node big
Each becomes WORK/layouts/NAME, an OCI layout; what is there is kept. WORK/trees has the directories that they are made of.
"""

import glob
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile

import layout
from layers import Root

SUITE = "bookworm"
PIP = """numpy==2.2.6 pandas==2.2.3 scipy==1.15.3 scikit-learn==1.6.1 matplotlib==3.10.3 python-dateutil==2.9.0.post0 pytz==2025.2
    tzdata==2025.2 six==1.17.0 joblib==1.4.2 threadpoolctl==3.6.0 contourpy==1.3.2 cycler==0.12.1 fonttools==4.58.0
    kiwisolver==1.4.8 packaging==25.0 pillow==11.2.1 pyparsing==3.2.3""".split()
NPM = """typescript@5.8.3 next@15.3.2 react@19.1.0 react-dom@19.1.0 webpack@5.99.9 webpack-cli@6.0.1 @mui/material@7.1.0
    @mui/icons-material@7.1.0 date-fns@4.1.0 rxjs@7.8.2 lodash@4.17.21 lodash-es@4.17.21 eslint@9.27.0 @babel/core@7.27.1
    @babel/preset-env@7.27.2 jest@29.7.0 aws-sdk@2.1692.0 core-js@3.42.0 lucide-react@0.511.0 @tabler/icons-react@3.33.0
    vite@6.3.5""".split()


class Maker:
    """Makes images in a work folder."""

    def __init__(self, work):
        self.work = work
        self.pool = work + "/pool"
        for name in ["layouts", "trees", "tars"]:
            os.makedirs(f"{work}/{name}", exist_ok=True)

    def make(self, name):
        """Makes an image unless it is there."""
        if not os.path.exists(f"{self.work}/layouts/{name}"):
            print(f"images: {name}", file=sys.stderr, flush=True)
            getattr(self, name.replace("-", "_"))()

    def image(self, name, tars, compression="gzip"):
        blobs = [layout.compress(self.tar(tar), self.pool, compression) for tar in tars]
        layout.write(f"{self.work}/layouts/{name}", self.pool, blobs)

    def tar(self, name):
        return f"{self.work}/tars/{name}.tar"

    def tree(self, name):
        path = f"{self.work}/trees/{name}"
        shutil.rmtree(path, ignore_errors=True)
        return path

    def tiny(self):
        """Busybox, its links, and one file of each kind of owner and mode."""
        top = self.tree("tiny")
        for name in "bin etc dev proc sys tmp root home/app usr/bin var/log".split():
            os.makedirs(f"{top}/{name}")
        with tempfile.TemporaryDirectory() as scratch:
            # apt fetches as a user of its own where that user may write.
            os.chmod(scratch, 0o777)
            run(["apt-get", "download", "-q", "busybox-static"], cwd=scratch)
            run(["dpkg-deb", "-x", *[f"{scratch}/{name}" for name in os.listdir(scratch)], f"{scratch}/x"])
            # In /usr/bin since Debian 13.
            [binary] = glob.glob(f"{scratch}/x/bin/busybox") + glob.glob(f"{scratch}/x/usr/bin/busybox")
            shutil.copy(binary, f"{top}/bin/busybox")
        os.chmod(f"{top}/bin/busybox", 0o4755)
        for applet in subprocess.check_output([f"{top}/bin/busybox", "--list"], text=True).split():
            if applet != "busybox":
                os.symlink("busybox", f"{top}/bin/{applet}")
        write(f"{top}/etc/hostname", "tiny\n")
        os.link(f"{top}/etc/hostname", f"{top}/etc/hostname.link")
        os.chmod(f"{top}/tmp", 0o1777)
        write(f"{top}/home/app/hello", "hi\n")
        chown(f"{top}/home/app", 1000)
        Root(top).layer(self.tar("tiny"))
        self.image("tiny", ["tiny"])

    def debian(self):
        """What debootstrap calls minbase."""
        top = self.tree("debian")
        run(["debootstrap", "--variant=minbase", SUITE, top, mirror()])
        tidy(top)
        Root(top).layer(self.tar("debian"))
        self.image("debian", ["debian"])

    def python(self):
        """Debian, Python, wheels, an application with everything that is hard to keep, and a layer that takes things away."""
        root = self.on_debian("python")
        top = root.path
        install(top, ["python3", "iputils-ping", "libcap2-bin"])
        root.layer(self.tar("python-apt"))
        packages = "/usr/local/lib/python3.11/dist-packages"
        wheels(top + packages)
        # The time of the source would be the clock's, and so would the bytes compiled of it.
        in_chroot(top, ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", packages])
        root.layer(self.tar("python-wheels"))
        application(top)
        root.layer(self.tar("python-app"))
        takes_away(top)
        root.layer(self.tar("python-changes"), opaque=["usr/share/locale"])
        self.image("python", PYTHON_LAYERS)

    def python_zstd(self):
        """The same layers, compressed with zstd."""
        self.make("python")
        self.image("python-zstd", PYTHON_LAYERS, "zstd")

    def python_easy(self):
        """The same without a file in the place of a directory and the other way round, which some peers give up on."""
        self.make("python")
        without(self.tar("python-changes"), self.tar("python-changes-easy"), ["app/src/mod_2.py", "usr/share/info"])
        self.image("python-easy", [*PYTHON_LAYERS[:-1], "python-changes-easy"])

    def node(self):
        """Debian, Node.js, and a folder node_modules with more than 100,000 files."""
        root = self.on_debian("node")
        install(root.path, ["nodejs"])
        root.layer(self.tar("node-apt"))
        app = f"{root.path}/app"
        os.makedirs(app)
        write(f"{app}/package.json", '{"name":"bench","version":"1.0.0","private":true}\n')
        run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps", *NPM], cwd=app)
        chown(app, 1000)
        root.layer(self.tar("node-modules"))
        self.image("node", ["debian", "node-apt", "node-modules"])

    def big(self):
        """A few large files: such as don't compress, such as do, and a database half of whose pages are zero."""
        top = self.tree("big")
        os.makedirs(f"{top}/data")
        root = Root(top)
        noise(f"{top}/data/weights.bin", 1 << 30, 1)
        text = events(32 << 20)
        with open(f"{top}/data/events.jsonl", "wb") as file:
            for _ in range(24):
                file.write(text)
        with open(f"{top}/data/pages.db", "wb") as file:
            for page in range(64 << 10):
                start = page * 4096 % (len(text) - 4096)
                file.write(text[start : start + 3000] + bytes(1096 + 4096))
        root.layer(self.tar("big-data"))
        os.makedirs(f"{top}/opt")
        noise(f"{top}/opt/blob.bin", 128 << 20, 2)
        self.make("node")
        with open(f"{top}/opt/bundle.bin", "wb") as out, open(self.tar("node-modules"), "rb") as tar:
            shutil.copyfileobj(Head(tar, 320 << 20), out)
        root.layer(self.tar("big-opt"))
        self.image("big", ["big-data", "big-opt"])

    def on_debian(self, name):
        """A copy of the Debian root filesystem, whose layer is there already."""
        self.make("debian")
        top = self.tree(name)
        run(["cp", "-a", f"{self.work}/trees/debian", top])
        root = Root(top)
        root.see()
        return root


PYTHON_LAYERS = ["debian", "python-apt", "python-wheels", "python-app", "python-changes"]


class Head:
    """The first bytes of a file."""

    def __init__(self, file, length):
        self.file, self.left = file, length

    def read(self, size):
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        return data


def application(top):
    """What tools for this job are known to lose: owners, nanoseconds, attributes, devices, links and long names."""
    source = f"{top}/app/src"
    os.makedirs(source)
    for number in range(2000):
        path = f"{source}/mod_{number}.py"
        write(path, f"print({number})\n" + "#" * (number % 900) + "\n")
        os.utime(path, ns=(0, (1_700_000_000 + number) * 10**9 + 123_456_789))
    chown(source, 1000)
    os.chmod(source, 0o2755)
    long = f"{top}/app/{'x' * 100}/{'y' * 100}"
    os.makedirs(long)
    write(f"{long}/{'z' * 120}.txt", "long\n")
    os.symlink(f"/app/{'x' * 100}/{'y' * 100}/target", f"{top}/app/long-link")
    os.link(f"{source}/mod_1.py", f"{top}/app/hardlink.py")
    write(f"{top}/app/empty", "")
    os.setxattr(f"{top}/app/empty", "user.note", b"kept?")
    os.chown(f"{top}/app/empty", 2_000_000, 2_000_001)
    os.mkfifo(f"{top}/app/fifo")
    os.mknod(f"{top}/app/null", 0o20666, os.makedev(1, 3))
    with open(f"{top}/app/sparse.bin", "wb") as file:
        file.truncate(16 << 20)
    shutil.copy(f"{top}/bin/ping", f"{top}/app/ping")
    run(["setcap", "cap_net_raw,cap_net_admin+ep", f"{top}/app/ping"])
    shutil.copy(f"{top}/bin/su", f"{top}/app/su")
    os.chmod(f"{top}/app/su", 0o6755)
    write(f"{top}/app/名前-é.txt", "unicode\n")


def takes_away(top):
    """Removals, and one kind of file in the place of another."""
    source = f"{top}/app/src"
    shutil.rmtree(f"{top}/usr/share/doc")
    os.remove(f"{source}/mod_1000.py")
    shutil.rmtree(f"{top}/usr/share/info")
    write(f"{top}/usr/share/info", "a file where a directory was\n")
    os.remove(f"{source}/mod_2.py")
    os.mkdir(f"{source}/mod_2.py")
    write(f"{source}/mod_2.py/inner", "a directory where a file was\n")
    shutil.rmtree(f"{top}/usr/share/locale")
    os.mkdir(f"{top}/usr/share/locale")
    write(f"{top}/usr/share/locale/only.txt", "opaque\n")
    for number in range(100, 150):
        write(f"{source}/mod_{number}.py", "patched\n")
    os.chmod(f"{top}/root", 0o700)


def without(source, target, names):
    """Copies an archive without some of its entries, and what is below them."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for entry in old:
            if not any(entry.name == name or entry.name.startswith(name + "/") for name in names):
                new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)


def events(length):
    """Text as services log it."""
    chance = random.Random(7)
    words = "alpha bravo charlie delta echo foxtrot golf hotel".split()
    lines, size = [], 0
    while size < length:
        message = " ".join(chance.choices(words, k=chance.randrange(3, 14)))
        user = f"{chance.choice(words)}-{chance.randrange(9999)}"
        line = f'{{"id":{chance.randrange(1 << 40)},"user":"{user}","ms":{chance.random() * 90:.4f},"msg":"{message}"}}\n'
        lines.append(line)
        size += len(line)
    return "".join(lines).encode()


def noise(path, length, seed):
    """Bytes that nothing compresses, the same ones every time."""
    chance = random.Random(seed)
    with open(path, "wb") as file:
        for _ in range(length >> 20):
            file.write(chance.randbytes(1 << 20))


def mirror():
    """The mirror that apt uses on this machine."""
    query = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    return subprocess.check_output(query, text=True).split()[0]


def wheels(target):
    """Installs packages from PyPI for the Python in the image, whatever this machine's is."""
    machine = os.uname().machine
    tags = [f"{tag}_{machine}" for tag in ["manylinux2014", "manylinux_2_17", "manylinux_2_28"]]
    command = [sys.executable, "-m", "pip", "install", "-q", "--root-user-action=ignore", "--no-cache-dir", "--no-compile"]
    command += ["--no-deps", "--only-binary=:all:"]
    command += ["--python-version=3.11", "--implementation=cp", "--abi=cp311"]
    command += [option for tag in tags for option in ["--platform", tag]]
    # What else this machine is set up to take packages from is none of an image's business.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    run([*command, "--target", target, *PIP], env=environment)


def install(top, packages):
    """Installs Debian packages in a root filesystem."""
    shutil.copy("/etc/resolv.conf", f"{top}/etc/resolv.conf")
    in_chroot(top, ["apt-get", "-q", "update"])
    in_chroot(top, ["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages])
    os.remove(f"{top}/etc/resolv.conf")
    tidy(top)


def in_chroot(top, command):
    """Runs a program of a root filesystem in it; of the environment, it gets the proxies."""
    environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
    environment += [f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    run(["chroot", top, "/usr/bin/env", "-i", *environment, *command])


def tidy(top):
    """Removes what differs from run to run."""
    for pattern in """var/cache/apt/*.bin var/cache/apt/archives/*.deb var/lib/apt/lists/* var/log/apt/* var/log/*.log
            var/cache/debconf/*-old var/lib/dpkg/*-old var/cache/ldconfig/aux-cache""".split():
        for path in glob.glob(f"{top}/{pattern}"):
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def run(command, **options):
    """Runs a program; what it says goes to standard error."""
    subprocess.run(command, check=True, stdout=sys.stderr, **options)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def chown(top, owner):
    run(["chown", "-hR", f"{owner}:{owner}", top])


if __name__ == "__main__":
    maker = Maker(os.path.abspath(sys.argv[1]))
    for wanted in sys.argv[2:]:
        maker.make(wanted)
