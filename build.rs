//! Compiles the contract with protox, so that nobody needs protoc.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "proto/flowgate/v1/batch_service.proto",
        "proto/flowgate/v1/target_service.proto",
        // Not imported by the contract, but found among the details of errors:
        // reflection has to know it, or grpcurl cannot print them.
        "proto/google/rpc/error_details.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("flowgate_descriptor.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".flowgate.v1")
        // Sorted maps: what is stored and told has the same bytes every time.
        .btree_map(".flowgate.v1")
        .btree_map(".google.rpc")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(descriptors)?;
    Ok(())
}
