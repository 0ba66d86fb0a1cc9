//! `cvbake`, the program: parse, run, render, exit. What it does is in the library of the same
//! name.
#![forbid(unsafe_code)]

mod cli;
mod failure;
mod hint;
mod interrupt;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
