//! What the targets share that have files read.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use formats::{Form, Reading};

/// Where this process puts the file that it then has read.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("outpost-fuzz-{}", std::process::id()));
    fs::create_dir_all(folder.join("pictures/class")).expect("there is room for temporary files");
    folder
});

/// Has a file of this `name` and `content` read as `reading` says: it is refused, or all of its examples have all their values,
/// and labels that are classes.
pub fn check(form: Form, name: &str, content: &[u8], reading: &Reading) {
    fs::write(FOLDER.join(name), content).expect("there is room for temporary files");
    let path = if form == Form::Pictures { "pictures" } else { name };
    let Ok(found) = form.read(&FOLDER.join(path), reading, None) else { return };
    let size: usize = found.shape.iter().product();
    assert_eq!(found.features.len(), found.len() * size, "{:?}", found.shape);
    if let Ok(classes) = found.labels.classes() {
        let labels = found.labels.among(&classes).expect("these are the classes");
        assert!(labels.iter().all(|label| usize::from(*label) < classes.len()));
    }
}
