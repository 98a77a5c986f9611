//! How much memory this process holds, and how much it may.
//!
//! A container's limit is that of its cgroup, and whoever is over it is killed
//! without a word. Both versions of cgroups tell it in files: version 2 for each
//! group on the way to this one, version 1 for the controller of memory.

use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

const CGROUPS: &str = "/sys/fs/cgroup";
/// What version 1 says where there is no limit is near the largest number; no
/// machine has that much.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Memory that the process holds; none where the system does not tell.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page_bytes)
}

/// Memory that the process may hold by its cgroups; none without a limit.
#[must_use]
pub fn cgroup_max_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    least(&groups, |file| std::fs::read_to_string(file).ok())
}

/// The least limit of the groups that `/proc/self/cgroup` names.
fn least(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let files = groups.lines().flat_map(limit_files);
    let limits = files.filter_map(|file| read(&file)?.trim().parse::<u64>().ok());
    limits.filter(|bytes| *bytes < NO_LIMIT_BYTES).min()
}

/// The files of one line: of the group and of all above it. Inside of a
/// container the path may be that of the host, and then only the root is there.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
        return Vec::new();
    };
    let (root, file) = match controllers {
        "" => (PathBuf::from(CGROUPS), "memory.max"),
        "memory" => (Path::new(CGROUPS).join("memory"), "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|group| root.join(group).join(file)).collect()
}
