//! Whatever is brought in whatever pieces by however many: the digests are those of another
//! implementation.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use cvbake_verify::Digest;
use proptest::prelude::*;
use sha2::Digest as _;
use sha2::block_api::compress256;

use crate::lane::{Lane, hash, padding};
use crate::lanes::{Block, Engine, LANES, State};
use crate::piece::Piece;
use crate::team::{MOST, Membership, Team};

/// Does one lane after the other, so that all but the vectors is tested anywhere.
struct Portable;

impl Engine for Portable {
    fn compress(&self, states: &mut [State], blocks: &[&[Block]]) {
        for (state, blocks) in states.iter_mut().zip(blocks) {
            compress256(state, blocks);
        }
    }
}

fn engines() -> Vec<Box<dyn Engine>> {
    let portable: Box<dyn Engine> = Box::new(Portable);
    [Some(portable), vectors()].into_iter().flatten().collect()
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> Option<Box<dyn Engine>> {
    Some(Box::new(crate::lanes::x86::Avx512::detect()?))
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> Option<Box<dyn Engine>> {
    None
}

fn bytes(seed: usize, len: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[7]
    };
    (0..len).map(|_| byte()).collect()
}

#[test]
fn every_stream_for_itself() {
    for engine in engines() {
        for (streams, count) in (0..=LANES).flat_map(|streams| (0..20).chain([50]).map(move |count| (streams, count))) {
            let all: Vec<Vec<Block>> =
                (0..streams).map(|stream| bytes(stream, count * 64).as_chunks().0.to_vec()).collect();
            let blocks: Vec<&[Block]> = all.iter().map(|blocks| &blocks[..]).collect();
            let mut states = vec![[0; 8]; streams];
            for (at, word) in states.as_flattened_mut().iter_mut().enumerate() {
                *word = u32::from_le_bytes(*bytes(at, 4).first_chunk().unwrap());
            }
            let mut expected = states.clone();
            engine.compress(&mut states, &blocks);
            for (state, blocks) in expected.iter_mut().zip(&blocks) {
                compress256(state, blocks);
            }
            assert_eq!(states, expected, "{streams} streams of {count} blocks");
        }
    }
}

/// Nobody waits for a thread that is no more.
#[test]
fn a_panic_is_everybodys() {
    struct Broken;

    impl Engine for Broken {
        fn compress(&self, _: &mut [State], _: &[&[Block]]) {
            panic!("as the test wants it");
        }
    }

    let team = Arc::new(Team::new(Box::new(Broken)));
    let finish = |mut stream: Membership| {
        stream.update(Box::new([0; 1000]));
        stream.finish();
    };
    let bring = |mut stream: Membership| loop {
        stream.update(Box::new(vec![0; 1 << 20]));
    };
    let ways: [fn(Membership); 2] = [finish, bring];
    let (tell, told) = mpsc::channel();
    for (way, stream) in ways.map(|way| (way, team.join().unwrap())) {
        let tell = tell.clone();
        thread::spawn(move || tell.send(thread::spawn(move || way(stream)).join().is_err()));
    }
    let long = Duration::from_secs(60);
    assert_eq!([told.recv_timeout(long), told.recv_timeout(long)], [Ok(true), Ok(true)]);
    assert!(team.join().is_err());
}

#[test]
fn padding_of_every_length() {
    for len in 0..300 {
        let bytes = bytes(len, len);
        let mut lane = Lane::new();
        let pieces: [Piece; 2] = [Box::new(bytes.clone()), Box::new(padding(len as u64))];
        lane.push(&mut VecDeque::from(pieces));
        while !lane.blocks().is_empty() {
            let block = lane.blocks()[0];
            compress256(&mut lane.state, &[block]);
            lane.pass(1);
        }
        assert_eq!(hash(&lane.state)[..], sha2::Sha256::digest(&bytes)[..], "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn pieces_are_one_stream(lens in prop::collection::vec(prop_oneof![0..3_usize, 0..200_usize, 0..200_000_usize], 0..12)) {
        let all = bytes(lens.len(), lens.iter().sum());
        let expected = Digest::sha256(&all);
        for engine in engines() {
            let team = Arc::new(Team::new(engine));
            let mut stream = team.join().unwrap();
            let mut rest = &all[..];
            for &len in &lens {
                let (piece, others) = rest.split_at(len);
                stream.update(Box::new(piece.to_vec()));
                rest = others;
            }
            prop_assert_eq!(Digest::from_sha256(stream.finish()), expected);
        }
    }
}

#[test]
fn many_at_once_and_some_leave() {
    const STREAMS: usize = 21;
    for engine in engines() {
        let team = Arc::new(Team::new(engine));
        for _ in 0..3 {
            let start = Barrier::new(STREAMS);
            thread::scope(|scope| {
                for number in 0..STREAMS {
                    let (team, start) = (&team, &start);
                    scope.spawn(move || {
                        let all = bytes(number, number * number * 9_000);
                        let mut stream = team.join().unwrap();
                        start.wait();
                        for (at, piece) in all.chunks(1 + number * 5_000).enumerate() {
                            if number % 5 == 4 && at == 2 {
                                return;
                            }
                            stream.update(Box::new(piece.to_vec()));
                        }
                        assert_eq!(stream.finish()[..], sha2::Sha256::digest(&all)[..], "{number}");
                    });
                }
            });
        }
    }
}

#[test]
fn pieces_come_back() {
    struct Counted(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(1, Ordering::SeqCst);
        }
    }
    for engine in engines() {
        let (team, out) = (Arc::new(Team::new(engine)), Arc::new(AtomicUsize::new(0)));
        // One that brings nothing holds up nobody.
        let idle = team.join().unwrap();
        for finish in [true, false] {
            let mut stream = team.join().unwrap();
            for _ in 0..200 {
                let out_now = out.fetch_add(1, Ordering::SeqCst);
                assert!(out_now <= MOST / 100_001 + 2, "whoever brings more waits");
                stream.update(Box::new(Counted(vec![7; 100_001], Arc::clone(&out))));
            }
            if finish {
                assert_eq!(Digest::from_sha256(stream.finish()), Digest::sha256(&vec![7; 20_000_200]));
                assert_eq!(out.load(Ordering::SeqCst), 0);
            }
        }
        drop(idle);
        // The thread may be at work on what was left, but not for ever.
        while out.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
    }
}
