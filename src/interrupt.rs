//! Signals that ask the program to stop: it leaves nothing behind, and says by its exit status
//! which one it was.

mod system;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use cvbake::control::{Control, Stop};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::ui::Ui;

/// What the process must not leave behind.
static CONTROL: Control = Control::new();

/// The signal that came, or 0; set by the signal handler itself, so before anything can follow from
/// the signal.
static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// What is as it was, or kept, when a signal ends the command.
static OUTCOME: OnceLock<String> = OnceLock::new();

/// From here on signals clean up what is registered with the result; `outcome` is what the user is
/// told of it then.
///
/// # Errors
/// When they can't be watched; then they end the process as they always do, and the next run cleans
/// up.
pub(crate) fn watch(ui: &Arc<Ui>, outcome: Option<String>) -> io::Result<&'static Control> {
    if let Some(outcome) = outcome {
        // One command runs in a process, and watches once.
        let _ = OUTCOME.set(outcome);
    }
    let mut signals = vec![SIGINT, SIGTERM];
    if !system::hangup_is_ignored() {
        signals.push(SIGHUP);
    }
    for &signal in &signals {
        let number = usize::try_from(signal).expect("signals are positive");
        signal_hook::flag::register_usize(signal, &RECEIVED, number)?;
    }
    // Without a handler this one kills a process whose file gets longer than the user's limit; with
    // one, writing fails.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let mut signals = Signals::new(signals)?;
    let ui = Arc::clone(ui);
    thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(|_| settle(&ui)))?;
    Ok(&CONTROL)
}

/// What is registered, whether signals are watched or not.
pub(crate) fn unwatched() -> &'static Control {
    &CONTROL
}

/// If a signal came, cleans up and ends the process, unless the work is done.
pub(crate) fn settle(ui: &Arc<Ui>) {
    let signal = RECEIVED.load(Ordering::SeqCst);
    if signal == 0 {
        return;
    }
    match CONTROL.run() {
        Stop::Clean(_halt) => {
            say(ui);
            // By convention; the halt is held until the very end.
            std::process::exit(128 + i32::try_from(signal).expect("signals are small"))
        }
        Stop::TooLate => {}
    }
}

/// Tells the user, unless standard error is stuck: that must not keep the process from ending.
fn say(ui: &Arc<Ui>) {
    const PATIENCE: Duration = Duration::from_millis(500);
    let (said, wait) = mpsc::channel();
    let ui = Arc::clone(ui);
    let speaker = move || {
        ui.interrupted(OUTCOME.get().map(String::as_str));
        // Nobody waits any more if it took too long.
        let _ = said.send(());
    };
    if thread::Builder::new().spawn(speaker).is_ok() {
        // Both ends of the wait are fine.
        let _ = wait.recv_timeout(PATIENCE);
    }
}
