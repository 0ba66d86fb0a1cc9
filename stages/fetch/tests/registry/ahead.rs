//! A layer that is asked for before the configuration is there.

use std::sync::{Arc, Condvar, Mutex};

use super::*;

/// Lets a server wait for something that another request brings.
#[derive(Clone, Default)]
struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    fn give(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether it was given, in a time in which anything would have happened.
    fn wait(&self, limit: Duration) -> bool {
        let (given, changed) = &*self.0;
        let (given, _) = changed.wait_timeout_while(given.lock().unwrap(), limit, |given| !*given).unwrap();
        *given
    }
}

fn verify(server: &Server, options: &Options, store: Option<&Store>) -> Result<(), Box<dyn std::error::Error>> {
    let blobs = open_registry(&reference(server, "a/b:v1"), options, store, &|_| {})?;
    Image::verify(&*blobs, &Want { platform: "linux/amd64".parse()?, explicit: true })?;
    Ok(())
}

/// A registry that gives the configuration to those only who have asked for the layer.
fn server_with_patience(sample: &Sample) -> Server {
    let (asked, layer) = (Signal::default(), sample.layer_path());
    sample.server("/blobs/", move |request, answer| {
        if request.path.ends_with(&layer) {
            asked.give();
        } else if !asked.wait(Duration::from_secs(20)) {
            return Answer::new(500, "nobody has asked for the layer");
        }
        answer
    })
}

#[test]
fn the_layer_does_not_wait_for_the_configuration() {
    let sample = Sample::new(300_000);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &|_| {}).unwrap();
    for store in [None, Some(&store)] {
        let server = server_with_patience(&sample);
        let options = Options { stall: Duration::from_secs(30), ..quick() };
        assert_eq!(pull_from(&server, "a/b:v1", &options, store).unwrap(), sample.layer);
        assert_eq!(server.requests(&sample.layer_path()).len(), 1);
    }
}

#[test]
fn who_wants_no_layers_asks_for_none() {
    let sample = Sample::new(300_000);
    let server = sample.layer_server(|_, answer| answer);
    verify(&server, &Options { ahead: false, ..quick() }, None).unwrap();
    assert!(server.requests(&sample.layer_path()).is_empty());
}

#[test]
fn nothing_is_left_of_a_layer_that_nobody_read() {
    let sample = Sample::new(300_000);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &|_| {}).unwrap();
    let patient = server_with_patience(&sample);
    let options = Options { stall: Duration::from_secs(30), ..quick() };
    verify(&patient, &options, Some(&store)).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).unwrap().count(), 0);
    // The next one asks for it again, and gets it.
    let server = sample.layer_server(|_, answer| answer);
    assert_eq!(pull_from(&server, "a/b:v1", &quick(), Some(&store)).unwrap(), sample.layer);
    // From then on there is nothing to ask for.
    verify(&server, &quick(), Some(&store)).unwrap();
    assert_eq!(server.requests(&sample.layer_path()).len(), 1);
}

#[test]
fn what_goes_wrong_ahead_is_tried_again() {
    let sample = Sample::new(300_000);
    let server = sample.layer_server(|request, answer| match request.nth {
        0 => Answer::new(503, ""),
        _ => answer,
    });
    assert_eq!(pull_from(&server, "a/b:v1", &quick(), None).unwrap(), sample.layer);
    assert_eq!(server.requests(&sample.layer_path()).len(), 2);
    let server = sample.layer_server(|request, answer| match request.nth {
        0 => Answer::new(302, "").with("Location", "/elsewhere"),
        _ => answer,
    });
    let message = pull_from(&server, "a/b:v1", &quick(), None).unwrap_err().to_string();
    println!("{message}");
    assert_eq!(server.requests("/elsewhere").len(), 1, "redirects are followed");
}

#[test]
fn two_processes_fetch_a_layer_once() {
    let sample = Sample::new(300_000);
    let dir = tempfile::tempdir().unwrap();
    let server = sample.layer_server(|_, answer| answer);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = Store::open(dir.path(), &|_| {}).unwrap();
                assert_eq!(pull_from(&server, "a/b:v1", &quick(), Some(&store)).unwrap(), sample.layer);
            });
        }
    });
    assert_eq!(server.requests(&sample.layer_path()).len(), 1);
}
