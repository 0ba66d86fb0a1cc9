//! `scripts/stress`, for some seconds: that it finds nothing, and that it would.

use std::path::Path;
use std::process::Output;

use crate::support::bake::{Place, binary};
use crate::support::tools::{executable, run, tool};

fn stress(program: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stress");
    let mut command = tool("python3", "python3");
    command.arg(script).args(["0.05", "--jobs", "2", "--seed", "1"]).env("CVBAKE_BIN", program);
    command.env_remove("CVBAKE_REUSE");
    run(&mut command)
}

#[test]
fn finds_nothing() {
    let output = stress(binary());
    let (told, failures) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains(" rounds, ") && told.contains(", 0 failures"), "{told}{failures}");
}

#[test]
fn finds_what_is_left() {
    let place = Place::new();
    let program = place.path().join("program");
    executable(&program, &format!("#!/bin/sh\n: >\"$TMPDIR/left\"\nexec {} \"$@\"\n", binary().display()));
    let output = stress(&program);
    let failures = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && failures.contains("left over: "), "{failures}");
}
