//! Percentages: a stable hash of the subject, scaled to the total weight.

/// The largest total weight, which keeps flagd's other implementations exact.
pub(crate) const TOTAL_WEIGHT_MAX: u32 = i32::MAX.unsigned_abs();

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;

/// MurmurHash3 (x86, 32 bits) of `bytes`.
pub fn murmur3_32(bytes: &[u8], seed: u32) -> u32 {
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = seed;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0_u32, |rest, byte| (rest << 8) | u32::from(*byte));
    hash ^= scramble(rest);
    // The algorithm takes the length modulo 2^32.
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX) & u64::from(u32::MAX);
    finish(hash ^ u32::try_from(length).unwrap_or(u32::MAX))
}

/// The place of `hash` in `0..total`.
///
/// Scaling by a multiplication, where a remainder would favour low buckets,
/// keeps the order of hashes: when a weight grows at the expense of the
/// buckets after it, it keeps its subjects and gains theirs.
pub fn bucket(hash: u32, total: u32) -> u32 {
    let place = (u64::from(hash) * u64::from(total)) >> 32;
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Where a subject falls among shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// What was hashed.
    pub subject: String,
    /// Its bucket, of `0..total`.
    pub bucket: u32,
    /// How many buckets there are.
    pub total: u32,
    /// Which share holds the bucket.
    pub share: usize,
    /// The first bucket of that share.
    pub from: u32,
    /// The first bucket behind it.
    pub to: u32,
}

/// Which of `weights` the subject falls into; none if they sum to zero or to
/// more than 2^31 - 1.
pub fn draw(subject: &str, weights: &[u32]) -> Option<Draw> {
    let total = weights
        .iter()
        .try_fold(0_u32, |sum, weight| sum.checked_add(*weight))
        .filter(|total| (1..=TOTAL_WEIGHT_MAX).contains(total))?;
    let bucket = bucket(murmur3_32(subject.as_bytes(), 0), total);
    let mut from = 0_u32;
    for (share, weight) in weights.iter().enumerate() {
        let to = from + weight;
        if bucket < to {
            return Some(Draw { subject: subject.to_owned(), bucket, total, share, from, to });
        }
        from = to;
    }
    None
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
}

fn finish(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}
