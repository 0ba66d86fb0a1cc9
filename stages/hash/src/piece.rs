//! What a stream is brought in.

/// Bytes that are hashed when it is their turn; given back, by dropping them, as soon as they are.
pub(crate) type Piece = Box<dyn AsRef<[u8]> + Send>;
