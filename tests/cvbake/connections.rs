//! How much is fetched at once, which has nothing to do with how many threads work: a registry
//! holds its answers until so many requests are there.

use crate::pulls::until;
use crate::registry::{cvbake, pull_and_build};
use crate::support::bake::{Bake, Place, names};
use crate::support::ext4::bytes_of;
use crate::support::image::{Compression, Images};
use crate::support::sample::layer;
use crate::support::server::{Answer, Server};

/// Layers of [`many`].
const LAYERS: usize = 20;

/// Small layers, as images of many steps have them; and some that are read, inflated and unpacked
/// on threads of their own.
fn many() -> Images {
    let small = |number: usize| layer(&format!("file small{number} rand:2000:{number}"), Compression::Gzip);
    let large = |number: usize| layer(&format!("file large{number} rand:600000:{number}"), Compression::Gzip);
    Images::of((0..LAYERS).map(|number| if number % 4 == 0 { large(number) } else { small(number) }).collect())
}

/// A registry that sends nothing of any layer at first.
fn holding(place: &Place, images: &Images) -> Server {
    let layers: Vec<String> = images.images[0].layers.iter().map(|layer| layer.digest.clone()).collect();
    let is_layer = move |path: &str| layers.iter().any(|layer| path.ends_with(layer.as_str()));
    Server::start(place, move |asked| if is_layer(&asked.path) { Answer::Held(0) } else { Answer::Right })
}

fn build(place: &Place, server: &Server) -> Bake {
    pull_and_build(place, &server.name()).args(["--size", "min"])
}

#[test]
fn as_many_as_wanted_are_fetched_at_once_and_no_more() {
    let images = many();
    let place = Place::with(&images);
    place.bake().args(["--size", "min"]).ok();
    let expected = bytes_of(&place.disk());
    for (options, variable, count) in [
        (&[][..], "", 8),
        (&["--jobs", "1"], "", 8),
        (&["--jobs", "16"], "", 8),
        (&["--connections", "1", "--jobs", "16"], "", 1),
        (&["--connections", "11", "--jobs", "1"], "", 11),
        (&[], "13", 13),
        (&["--connections", "100"], "13", LAYERS),
    ] {
        for command in ["pull", "pull-and-build", "pull-and-build without a store"] {
            let _ = std::fs::remove_dir_all(place.store());
            let server = holding(&place, &images);
            let bake = match command {
                "pull" => cvbake(&place, &["pull", &server.name()]),
                "pull-and-build" => build(&place, &server),
                _ => build(&place, &server).no_cache(),
            };
            let run = bake.args(options).env("CVBAKE_CONNECTIONS", variable).spawn();
            server.wait_held(count);
            server.open();
            let outcome = run.wait();
            let what = format!("{command} {options:?} {variable}");
            assert_eq!(outcome.code, Some(0), "{what}: {}", outcome.describe());
            assert_eq!(server.most_at_once(), count, "{what}");
            if command != "pull" {
                assert_eq!(bytes_of(&place.disk()), expected, "{what}");
            }
        }
    }
}

/// The only thread that works is not held up by a layer of which nothing comes.
#[test]
fn a_layer_that_is_waited_for_keeps_no_thread_from_work() {
    let images = many();
    let place = Place::with(&images);
    // The first and largest, and one that is small.
    let held = [0, 1].map(|at: usize| images.images[0].layers[at].digest.clone());
    let server =
        Server::start(&place, move |asked| match held.iter().any(|layer| asked.path.ends_with(layer.as_str())) {
            true => Answer::Held(0),
            false => Answer::Right,
        });
    let mut run = build(&place, &server).args(["--jobs", "1"]).spawn();
    server.wait_held(2);
    until("all other layers are unpacked", || {
        assert!(run.running(), "ended early");
        names(&place.store().join("indexes-v1/sha256")).len() == LAYERS - 2
    });
    server.open();
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.describe());
}

#[test]
fn what_is_no_number_of_connections() {
    let place = Place::new();
    for number in ["0", "-1", "many", ""] {
        let outcome = cvbake(&place, &["pull", "localhost:1/x", "--connections", number]).run();
        outcome.error(&[2]);
    }
}
