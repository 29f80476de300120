//! Every input that was ever worth keeping, through its target again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn the_kept_corpus_breaks_nothing() {
    let mut all = 0;
    for (name, target) in cartridge_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let before = all;
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            all += 1;
        }
        assert!(all > before, "{name} has no corpus");
    }
    println!("{all} inputs, {} targets", cartridge_fuzz::TARGETS.len());
}

#[test]
fn every_folder_of_the_corpus_has_a_target() {
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(
            cartridge_fuzz::target(&name).is_some(),
            "{name} is nobody's corpus"
        );
    }
}
