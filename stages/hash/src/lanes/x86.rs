//! With AVX-512 on registers of 256 bits: whichever of two kernels is faster for the number of
//! streams.

mod few;
mod many;
mod words;

use std::arch::x86_64::__m256i as Word;

use pulp::x86::V4;

use super::{Block, Engine, LANES, State};

/// A processor that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(V4);

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        V4::try_new().map(Avx512)
    }
}

impl Engine for Avx512 {
    fn compress(&self, states: &mut [State], blocks: &[&[Block]]) {
        assert!(states.len() <= LANES, "no more than there are lanes");
        assert_eq!(states.len(), blocks.len(), "one for each");
        assert!(blocks.iter().all(|others| others.len() == blocks[0].len()), "equally many of each");
        match states.len() {
            0 => {}
            1 => self.few::<1>(states, blocks),
            2 => self.few::<2>(states, blocks),
            3 | 4 => self.few::<4>(states, blocks),
            _ => self.many(states, blocks),
        }
    }
}

impl Avx512 {
    fn few<const N: usize>(self, states: &mut [State], blocks: &[&[Block]]) {
        let simd = self.0;
        filled::<N>(states, blocks, |states, blocks| {
            let mut variables = few::packed(states);
            simd.vectorize(few::Compress { simd, variables: &mut variables, blocks });
            *states = few::unpacked(&variables);
        });
    }

    fn many(self, states: &mut [State], blocks: &[&[Block]]) {
        let simd = self.0;
        filled(states, blocks, |states, blocks| simd.vectorize(many::Compress { simd, states, blocks }));
    }
}

/// Takes forward as many as there have to be: what is done with those that are too many is thrown
/// away.
fn filled<const N: usize>(
    states: &mut [State],
    blocks: &[&[Block]],
    with: impl FnOnce(&mut [State; N], [&[Block]; N]),
) {
    let of = |place: usize| if place < states.len() { place } else { 0 };
    let mut all = std::array::from_fn(|place| states[of(place)]);
    with(&mut all, std::array::from_fn(|place| blocks[of(place)]));
    states.copy_from_slice(&all[..states.len()]);
}
