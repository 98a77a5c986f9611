//! A stable 64-bit hash: the same on every node and in every release.

/// Hashes bytes: FNV-1a (Fowler, Noll, Vo, 1991), then the finalizer of
/// SplitMix64 (Steele, Lea, Flood, 2014), which spreads the weak low bits.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(folded)
}

/// Hashes two texts as one, with a boundary between them.
#[must_use]
pub fn hash_pair(a: &str, b: &str) -> u64 {
    mix(hash(a.as_bytes()) ^ hash(b.as_bytes()).rotate_left(32))
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
