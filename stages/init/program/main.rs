//! PID 1 of an initramfs: finds the root filesystem, mounts it, and runs what is there. See the
//! library's documentation for what it reads and in which order it works.
#![no_std]
#![no_main]
// The functions that it gives to the compiler must not be compiled to calls of themselves.
#![no_builtins]

mod bytes;
mod console;
mod devices;
mod entry;
mod identify;
mod listed;
mod mapper;
mod modules;
mod options;
mod root;
mod system;
mod verity;

use console::Failure;
use options::Options;
use system::{Arguments, path};

/// Longer than any command line: 2048 bytes on x86-64, 4096 elsewhere.
const COMMAND_LINE: usize = 8192;

/// What is done, in order. It returns only when it has failed.
fn run(arguments: Arguments) -> Result<core::convert::Infallible, Failure<'static>> {
    for (kind, target) in [(c"devtmpfs", c"/dev"), (c"proc", c"/proc"), (c"sysfs", c"/sys")] {
        // They are in the archive already.
        let _ = system::mkdir(target);
        system::mount(kind, target, kind, 0, c"").map_err(|error| Failure::new("cannot mount", target, error))?;
    }
    console::open();
    let mut line = [0; COMMAND_LINE];
    let line = system::read_file(c"/proc/cmdline", &mut line)
        .map_err(|error| Failure::new("cannot read", c"/proc/cmdline", error))?;
    let options = Options::parse(line);
    modules::load_all()?;
    root::mount(&options)?;
    root::switch()?;
    start(&options, arguments)
}

/// Runs the init of the root filesystem in place of this program.
fn start(options: &Options<'_>, arguments: Arguments) -> Result<core::convert::Infallible, Failure<'static>> {
    if let Some(init) = options.init {
        let mut buffer = [0; 4096];
        let asked = path(&[init], &mut buffer).ok_or(Failure::text("the path of init= is too long"))?;
        let error = system::execute(asked, arguments);
        console::say(&[b"cannot run init=", init]);
        return Err(Failure::code("the program of init= does not run", error));
    }
    for init in [c"/sbin/init", c"/etc/init", c"/bin/init", c"/bin/sh"] {
        match system::execute(init, arguments) {
            system::Errno::NOENT => {}
            error => console::say(&[b"cannot run ", init.to_bytes(), b": error ", console::Number::of(error.0).text()]),
        }
    }
    Err(Failure::text(
        "there is no init: expected /sbin/init, /etc/init, /bin/init or /bin/sh, or init=PATH on the command line",
    ))
}

/// Says what has failed, and ends the machine.
fn fail(failure: &Failure<'_>) -> ! {
    failure.say();
    // The kernel panics when PID 1 ends, and then does what `panic=` says.
    let mut line = [0; COMMAND_LINE];
    let asks = system::read_file(c"/proc/cmdline", &mut line).is_ok_and(|line| Options::parse(line).panics);
    if !asks {
        console::say(&[b"powering off"]);
        system::power_off();
    }
    system::exit(1)
}

#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    fail(&Failure::text("a broken invariant: this is a defect of cvbake"))
}
