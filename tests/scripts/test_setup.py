"""scripts/setup, with fake programs in place of apt-get, sudo and cargo: python3 -m unittest discover -s tests/scripts"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

SETUP = pathlib.Path(__file__).resolve().parents[2] / "scripts/setup"
# What the script and the fakes run that every Debian has.
ESSENTIAL = ["bash", "cat", "env", "grep", "ln", "rm", "sed", "sort", "true"]
FAKES = {
    # The lists of packages are there.
    "apt-cache": "echo ' 500 https://deb.example/debian stable/main'",
    "apt-get": 'echo "apt-get $*" >>"$LOG"',
    "systemctl": 'echo "systemctl $*" >>"$LOG"',
    # Runs what it is given, without asking.
    "sudo": 'echo "sudo $*" >>"$LOG"; [[ $1 != -n ]] || shift; exec "$@"',
    # One that is newer than wanted, one that is older, and one that does not run.
    "cargo": """case "$*" in
      'deny --version') echo 'cargo-deny 99.0.0' ;;
      'nextest --version') echo 'cargo-nextest 0.9.9 (0123456 2020-01-01)' ;;
      *--version) exit 101 ;;
      *) echo "cargo $*" >>"$LOG" ;;
    esac""",
}


def fake(path, script):
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


class Setup(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.work = pathlib.Path(scratch.name)
        self.bin, self.units, self.log = self.work / "bin", self.work / "units", self.work / "log"
        for directory in (self.work, self.bin, self.units):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o777)
        self.log.touch()
        self.log.chmod(0o666)
        # Where other users can read it, wherever the clone is.
        shutil.copy(SETUP, self.work / "setup")
        for name in ESSENTIAL:
            (self.bin / name).symlink_to(shutil.which(name))
        for name, script in FAKES.items():
            fake(self.bin / name, script)
        # The readers of disks are there, in the versions that the script wants.
        self.readers = self.work / "readers"
        (self.readers / "bin").mkdir(parents=True)
        (self.readers / "python").mkdir()
        wanted = dict(re.findall(r'^(crates|wheels)="([^"]*)"', SETUP.read_text(), re.MULTILINE))
        fake(self.readers / "bin/cvbake-disk-readers", f"echo '{wanted['crates']}'")
        (self.readers / "python/wheels").write_text(wanted["wheels"] + "\n")

    def have_everything(self):
        """Makes all that the list of the script names."""
        listed = [word for word in SETUP.read_text().replace("(", " ").replace(")", " ").split() if ":" in word]
        for name in (word.split(":")[0] for word in listed):
            if name.replace("+", "").replace("-", "").replace(".", "").replace("_", "").isalnum() and not (self.bin / name).exists():
                fake(self.bin / name, "exit 1")

    def run_setup(self, *args):
        """What setup did, without rights and without a terminal: its status, its standard error, and what it ran."""
        user = dict(user=65534, group=65534, extra_groups=[]) if os.geteuid() == 0 else {}
        environment = {"PATH": str(self.bin), "LOG": str(self.log), "SETUP_UNITS": str(self.units), "HOME": "/nowhere"}
        environment["CVBAKE_READERS"] = str(self.readers)
        done = subprocess.run(
            [self.work / "setup", *args],
            # Whoever starts the tests in the background has it ignored, and a shell leaves it so.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
            **user,
        )
        self.out = done.stdout
        return done.returncode, done.stderr, self.log.read_text().splitlines()

    def test_help_says_what_each_word_installs(self):
        for option in ("-h", "--help"):
            status, error, ran = self.run_setup(option)
            self.assertEqual((status, error, ran), (0, "", []))
            for word in ("Usage: scripts/setup [check|dev|package|bench|cross|pages]...", "cargo-nextest", "minutes", "MB"):
                self.assertIn(word, self.out)
            self.assertNotIn("set -e", self.out)

    def test_unknown_arguments_are_refused_before_anything_is_done(self):
        status, error, ran = self.run_setup("dev", "devel")
        self.assertEqual((status, self.out, ran), (2, "", []))
        self.assertIn("unknown argument devel", error)
        self.assertIn("Usage: scripts/setup", error)

    def test_nothing_is_installed_twice(self):
        self.have_everything()
        (self.bin / "sudo").unlink()
        status, error, ran = self.run_setup()
        self.assertEqual((status, ran), (0, []), error)

    def test_missing_packages_are_installed_and_no_registry_is_started(self):
        fake(self.bin / "apt-get", FAKES["apt-get"] + '; echo "$SETUP_UNITS"/* >>"$LOG"')
        status, error, ran = self.run_setup()
        self.assertEqual(status, 0, error)
        installed = [line for line in ran if line.startswith("apt-get install")]
        self.assertEqual(len(installed), 1)
        for package in ("docker-registry", "skopeo"):
            self.assertIn(f" {package}", installed[0])
        unit = str(self.units / "docker-registry.service")
        # While apt-get installs, and not before or after.
        self.assertEqual(ran.count(unit), 1)
        self.assertEqual(ran[ran.index(installed[0]) + 1], unit)
        self.assertEqual(list(self.units.iterdir()), [])
        self.assertIn("systemctl disable -q docker-registry", ran)

    def test_what_apt_removes_is_installed_again(self):
        # Both are in one package.
        for program in ("qemu-img", "qemu-io"):
            fake(self.bin / program, "exit 1")
        fake(self.bin / "apt-get", FAKES["apt-get"] + '; [[ $1 != install ]] || rm -f "${BASH_SOURCE%/*}"/qemu-i*')
        status, error, ran = self.run_setup()
        self.assertEqual(status, 0, error)
        installed = [line for line in ran if line.startswith("apt-get install")]
        self.assertEqual(len(installed), 2)
        self.assertNotIn(" qemu-utils", installed[0])
        self.assertEqual(set(installed[1].split()[5:]), {"qemu-utils"}, installed[1])

    def test_a_mask_of_the_administrator_stays(self):
        unit = self.units / "docker-registry.service"
        unit.symlink_to("/dev/null")
        status, error, ran = self.run_setup()
        self.assertEqual(status, 0, error)
        self.assertTrue(unit.is_symlink())
        self.assertFalse([line for line in ran if line.startswith("systemctl")])

    def test_the_mask_goes_when_apt_fails(self):
        fake(self.bin / "apt-get", FAKES["apt-get"] + "; [[ $1 != install ]] || exit 100")
        status, error, _ = self.run_setup()
        self.assertEqual(status, 1)
        self.assertIn("apt-get install failed with status 100", error)
        self.assertEqual(list(self.units.iterdir()), [])

    def test_the_mask_goes_when_setup_is_ended_and_apt_has_ended_then(self):
        for name in ("HUP", "INT", "TERM"):
            with self.subTest(name):
                self.log.write_text("")
                ending = f'[[ $1 != install ]] || {{ kill -{name} "$PPID"; echo "apt-get ends" >>"$LOG"; exit 100; }}'
                fake(self.bin / "apt-get", FAKES["apt-get"] + f"; {ending}")
                status, error, ran = self.run_setup()
                self.assertEqual(status, 128 + signal.Signals["SIG" + name], error)
                self.assertEqual(list(self.units.iterdir()), [])
                self.assertLess(ran.index("apt-get ends"), ran.index("systemctl disable -q docker-registry"))

    def test_without_sudo_the_commands_are_said(self):
        (self.bin / "sudo").unlink()
        status, error, ran = self.run_setup()
        self.assertEqual((status, ran), (1, []))
        self.assertIn("no sudo", error)
        self.assertIn("apt-get update && apt-get install -y --no-install-recommends ", error)

    def test_sudo_that_asks_for_a_password_is_not_waited_for(self):
        # With -n, sudo says so; without it, it would wait.
        asks = 'if [[ $1 == -n ]]; then echo "sudo: a password is required" >&2; else echo waits >>"$LOG"; fi; exit 1'
        fake(self.bin / "sudo", asks)
        status, error, ran = self.run_setup()
        self.assertEqual((status, ran), (1, []))
        self.assertIn("there is no terminal to type it", error)
        self.assertIn("apt-get update && apt-get install", error)

    def test_programs_of_cargo_are_compiled_where_there_is_none_that_is_new_enough(self):
        self.have_everything()
        status, error, ran = self.run_setup("check")
        self.assertEqual((status, ran), (0, []), error)
        status, error, ran = self.run_setup("dev", "package")
        self.assertEqual(status, 0, error)
        self.assertEqual([line.split("@")[0].split()[-1] for line in ran], ["cargo-nextest", "cargo-deb"])
        self.assertIn("in place of 0.9.9", error)
        # A file of the name that does not run does not count.
        fake(self.bin / "cargo", FAKES["cargo"].replace("echo 'cargo-deny 99.0.0'", "exit 101"))
        fake(self.bin / "cargo-deny", "exit 126")
        self.log.write_text("")
        status, error, ran = self.run_setup("check")
        self.assertEqual([line.split("@")[0] for line in ran], ["cargo install --locked --debug --force cargo-deny"])

    def test_readers_of_disks_are_compiled_where_there_is_none_or_another_one(self):
        self.have_everything()
        (self.readers / "bin/cvbake-disk-readers").write_text("#!/usr/bin/env bash\necho cvbake-disk-readers 0.0.9\n")
        status, error, ran = self.run_setup()
        self.assertEqual(status, 0, error)
        install = f"cargo install --locked --debug --force --root {self.readers} --path {self.work}/../tests/readers"
        self.assertEqual(ran, [install])


if __name__ == "__main__":
    unittest.main()
