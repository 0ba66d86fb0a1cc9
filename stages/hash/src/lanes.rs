//! The compression function of SHA-256 (FIPS 180-4, 6.2.2), for several streams at once.

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

/// How many words a vector has, and so how many streams are taken forward at most.
pub(crate) const LANES: usize = 8;

/// What the compression function takes at once.
pub(crate) type Block = [u8; 64];

/// The hash of one stream so far.
pub(crate) type State = [u32; 8];

/// Takes streams forward.
pub(crate) trait Engine: Send + Sync {
    /// Takes each state, of which there are up to [`LANES`], forward by its blocks, of which each
    /// has equally many.
    fn compress(&self, states: &mut [State], blocks: &[&[Block]]);
}

/// The engine that is worth its while on this processor, if there is one.
#[cfg(target_arch = "x86_64")]
pub(crate) fn engine() -> Option<Box<dyn Engine>> {
    // Instructions for SHA make one stream as fast as eight are without.
    match std::is_x86_feature_detected!("sha") {
        true => None,
        false => Some(Box::new(x86::Avx512::detect()?)),
    }
}

/// The engine that is worth its while on this processor, if there is one.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn engine() -> Option<Box<dyn Engine>> {
    None
}
