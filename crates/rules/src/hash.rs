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

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out by an implementation of its own; places of rooms and shares
    /// of flags depend on them.
    #[test]
    fn hashes_are_the_same_in_every_release() {
        let hashes = [
            ("", 0xf52a_15e9_a9b5_e89b),
            ("a", 0x02c0_bdbf_4814_20f8),
            ("room-1", 0x8092_b68d_8a8c_9e8c),
            ("gavel", 0xca23_1e3b_ded6_d06a),
        ];
        for (text, expected) in hashes {
            assert_eq!(hash(text.as_bytes()), expected, "{text:?}");
        }
        let pairs = [
            ("room", "node", 0x0f3a_45bd_b06c_d12e),
            ("node", "room", 0x9df8_53c9_0ba4_3303),
            ("ab", "c", 0xb676_4880_6d2c_3c75),
            ("a", "bc", 0xbf09_d26c_e398_b4c5),
        ];
        for (a, b, expected) in pairs {
            assert_eq!(hash_pair(a, b), expected, "{a:?} {b:?}");
        }
    }
}
