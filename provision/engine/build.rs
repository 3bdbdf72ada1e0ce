//! Embeds the helper that `cargo xtask build` made. Without it the controller still builds; it
//! then says what to run when it needs the helper.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed=PROVISION_HELPER");
    let folder = match env::var_os("PROVISION_HELPER") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest folder")?)
            .join("../../target/helper-image"),
    };
    let (image, digest) =
        (folder.join("provision-target.gz"), folder.join("provision-target.sha256"));
    println!("cargo::rerun-if-changed={}", image.display());
    println!("cargo::rerun-if-changed={}", digest.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no output folder")?).join("helper.rs");
    let text = match fs::read_to_string(&digest) {
        Ok(digest) if image.exists() => format!(
            "static EMBEDDED: Option<Helper> = Some(Helper {{ sha256: {:?}, compressed: include_bytes!({:?}) }});",
            digest.trim(),
            image.canonicalize()?
        ),
        _ => "static EMBEDDED: Option<Helper> = None;".to_owned(),
    };
    fs::write(out, text)?;
    Ok(())
}
