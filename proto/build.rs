//! Compiles the .proto files with protox, so that a fresh machine needs no protoc.

use std::{env, fs, path::PathBuf};

/// What others published and we serve.
const FOREIGN: [&str; 2] = ["flagd/sync/v1/sync.proto", "externalscaler/externalscaler.proto"];
const AREAS: [&str; 7] = ["common", "fleet", "config", "telemetry", "relay", "admin", "client"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=gavel");
    println!("cargo:rerun-if-changed=flagd");
    println!("cargo:rerun-if-changed=externalscaler");
    let mut files: Vec<String> = AREAS.iter().map(|a| format!("gavel/{a}/v1/{a}.proto")).collect();
    files.extend(["rollout", "user"].map(|part| format!("gavel/admin/v1/{part}.proto")));
    files.extend(FOREIGN.map(str::to_owned));
    let descriptors = protox::Compiler::new(["."])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(&files)?
        .file_descriptor_set();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is set by cargo")?);
    fs::write(out.join("gavel.binpb"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
