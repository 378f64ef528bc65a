//! The reference of actions in docs/runbooks.md.

use std::path::Path;

use super::manual;
use crate::providers::kinds;

const MARK: &str = "is_that_of_the_catalogue`. -->\n";

#[test]
fn the_reference_of_actions_is_that_of_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, tail) = text.split_once(MARK).expect("the mark is there");
    let fresh = manual::reference(kinds());
    if std::env::var_os("DRCTL_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{fresh}")).unwrap();
        return;
    }
    assert!(tail == fresh, "docs/runbooks.md is behind: run this test with DRCTL_WRITE_DOCS=1");
}
