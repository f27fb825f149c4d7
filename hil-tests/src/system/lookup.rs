//! Finding programs of the system.

use std::env;
use std::path::PathBuf;

/// The first of `names` that lies in a folder of `PATH`, or where Debian keeps what only root looks for.
pub(crate) fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let folders: Vec<PathBuf> = folders.collect();
    let candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_is_there_is_found() {
        let found = find_program(&["no-such-program-anywhere", "sh"]).unwrap();
        assert!(found.ends_with("sh") && found.is_absolute(), "{}", found.display());
        assert_eq!(find_program(&["no-such-program-anywhere"]), None);
    }
}
