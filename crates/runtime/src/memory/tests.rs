//! Limits of cgroups as they are found on hosts and in containers.

use super::*;
use std::collections::HashMap;

#[test]
fn the_least_limit_on_the_way_is_the_one_that_kills() {
    let files = HashMap::from([
        ("/sys/fs/cgroup/memory.max", "max\n"),
        ("/sys/fs/cgroup/pods/memory.max", "4000\n"),
        ("/sys/fs/cgroup/pods/a/memory.max", "5000\n"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("/sys/fs/cgroup/memory/pods/memory.limit_in_bytes", "3000\n"),
        ("/sys/fs/cgroup/memory/odd/memory.limit_in_bytes", "-1\n"),
    ]);
    let read = |file: &Path| files.get(file.to_str()?).map(|text| (*text).to_owned());
    for (groups, expected) in [
        ("0::/pods/a\n", Some(4_000)),
        ("0::/\n", None),
        // Seen from inside, where only what lies beneath the own root is mounted.
        ("0::/../../elsewhere\n", None),
        ("9:name=systemd:/\n4:memory:/pods\n1:cpu:/pods\n0::/\n", Some(3_000)),
        ("4:memory:/pods/of/host\n", Some(3_000)),
        ("4:memory:/odd\n", None),
        ("4:memory:/pods\n0::/pods/a\n", Some(3_000)),
        ("1:cpu:/pods\n", None),
        ("nonsense\n::\n", None),
        ("", None),
    ] {
        assert_eq!(least(groups, read), expected, "{groups:?}");
    }
}

#[test]
fn this_process_holds_some() {
    let before = resident_bytes().expect("Linux tells");
    let some = vec![1_u8; 64 << 20];
    let after = resident_bytes().expect("Linux tells");
    assert!(after >= before + (32 << 20), "{before} then {after} with {}", some.len());
}
