//! Compiles `program/` to a static program without a C library, which the library then contains.
//!
//! It is no target of cargo's, because it has no standard library and flags of its own, and because
//! a package on crates.io must bring it: what depends on it gets a library, never a program.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=program");
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let (architecture, system) = (variable("CARGO_CFG_TARGET_ARCH")?, variable("CARGO_CFG_TARGET_OS")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let program = out.join("init");
    let is_written_for = system == "linux" && ["x86_64", "aarch64"].contains(&architecture.as_str());
    // On others the library says that it has none.
    if is_written_for {
        compile(&program, &variable("TARGET")?)?;
    } else {
        std::fs::write(&program, [])?;
    }
    println!("cargo::rustc-env=CVBAKE_INIT={}", program.display());
    Ok(())
}

fn compile(program: &Path, target: &str) -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let rustc = env::var_os("RUSTC").ok_or("cargo names no compiler")?;
    let mut command = Command::new(rustc);
    command.arg(manifest.join("program/main.rs"));
    command.args(["--edition", "2024", "--crate-name", "init", "--crate-type", "bin", "--target", target]);
    command.args(["-C", "panic=abort", "-C", "opt-level=s", "-C", "strip=symbols", "-C", "codegen-units=1"]);
    command.args(["-C", "relocation-model=static", "-C", "target-feature=+crt-static"]);
    command.args(["-C", "link-arg=-nostdlib", "-C", "link-arg=-nostartfiles", "-C", "link-arg=-static"]);
    // Tables for unwinding name it, and a program that aborts never unwinds.
    command.args(["-C", "link-arg=-Wl,--defsym=rust_eh_personality=0"]);
    // A build identity would differ from one linker to the next.
    command.args(["-C", "link-arg=-Wl,--build-id=none", "-C", "link-arg=-Wl,-z,noexecstack"]);
    // The same bytes, wherever it is compiled.
    command.arg("--remap-path-prefix").arg(format!("{}=.", manifest.display()));
    // Cargo says so where a configuration file or a variable names one for the target.
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        command.arg("-C").arg(option);
    }
    command.arg("-o").arg(program);
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed with {status}").into()) }
}
