//! All targets as one libFuzzer program; the variable `FUZZ_TARGET` chooses.
#![no_main]

use gavel_fuzz::Target;
use gavel_runtime::config;
use std::sync::LazyLock;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = config::variable("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    Target::named(&name).expect("FUZZ_TARGET is the name of a target")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (TARGET.run)(bytes);
});
