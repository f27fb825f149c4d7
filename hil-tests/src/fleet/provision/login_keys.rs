//! The public keys that may log in to a board.

use ssh_key::{Algorithm, PublicKey};

/// Why a file of public keys cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoginKeysError {
    /// The wrong one of a pair.
    #[error("a private key; give the public one beside it")]
    Private,
    /// As `PuTTY` and others write it.
    #[error("a public key in another format; `ssh-keygen -i -f FILE` prints it as OpenSSH has it")]
    OtherFormat,
    /// A line that is no key, from 1.
    #[error("line {0} is no public key of OpenSSH, as in ~/.ssh/id_ed25519.pub, or not a whole one")]
    Line(usize),
    /// A key that sshd does not know any more.
    #[error("line {0}: a key of a kind that sshd refuses; `ssh-keygen -t ed25519` makes another")]
    Outdated(usize),
    /// No line at all.
    #[error("no public key of OpenSSH, as in ~/.ssh/id_ed25519.pub")]
    None,
}

/// The keys in `text`, which is as `~/.ssh/id_ed25519.pub` or `~/.ssh/authorized_keys`.
///
/// # Errors
/// [`LoginKeysError`] if sshd would take one of its lines for no key: nobody could log in, and nothing would say why.
pub fn login_keys(text: &str) -> Result<Vec<String>, LoginKeysError> {
    if text.contains("PRIVATE KEY") || text.starts_with("PuTTY-User-Key-File") {
        return Err(LoginKeysError::Private);
    }
    if text.contains("BEGIN SSH2 PUBLIC KEY")
        || text.contains("BEGIN RSA PUBLIC KEY")
        || text.contains("BEGIN PUBLIC KEY")
    {
        return Err(LoginKeysError::OtherFormat);
    }
    let mut keys = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (at, line) = (at + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Options, which may hold spaces, stand before the key.
        let mut starts = std::iter::once(0).chain(line.match_indices(' ').map(|(at, _)| at + 1));
        let key = starts.find_map(|start| line[start..].parse::<PublicKey>().ok());
        if key.ok_or(LoginKeysError::Line(at))?.algorithm() == Algorithm::Dsa {
            return Err(LoginKeysError::Outdated(at));
        }
        keys.push(line.to_owned());
    }
    if keys.is_empty() { Err(LoginKeysError::None) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMKuT1sjTgACZjNRXBcLiokslez3dkYM+rIjViy1MY24";

    #[test]
    fn keys_are_taken_as_sshd_reads_them() {
        let text = format!("# mine\n{KEY} me: \"the\" #1\n\n  restrict,command=\"a b\" {KEY}\r\n");
        assert_eq!(
            login_keys(&text).unwrap(),
            [format!("{KEY} me: \"the\" #1"), format!("restrict,command=\"a b\" {KEY}")]
        );
    }

    #[test]
    fn keys_of_every_kind_that_sshd_takes_are_taken() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEkAxNqMwATIg8FHx0GHf9ZkMzUjei\
                     nwg+XEpK85WE5muu2yboXmIqD9hyRGFtxq8OK9hjsOyIYBneu04SP29+A= me";
        assert_eq!(login_keys(ecdsa).unwrap(), [ecdsa]);
        if !link::has("ssh-keygen") {
            return;
        }
        for kind in ["ecdsa -b 384", "ecdsa -b 521", "rsa -b 2048", "ed25519"] {
            let folder = tempfile::tempdir().unwrap();
            let mut keygen = crate::system::children::command("ssh-keygen");
            keygen
                .args(["-q", "-N", "", "-f"])
                .arg(folder.path().join("key"))
                .arg("-t")
                .args(kind.split(' '));
            assert!(keygen.status().unwrap().success(), "{kind}");
            let text = std::fs::read_to_string(folder.path().join("key.pub")).unwrap();
            assert_eq!(login_keys(&text).unwrap(), [text.trim()], "{kind}");
        }
    }

    #[test]
    fn what_nobody_could_log_in_with_is_refused() {
        let torn = &KEY[..KEY.len() - 7];
        let renamed = KEY.replace("ssh-ed25519", "ssh-rsa");
        for (text, part) in [
            ("", "no public key"),
            ("# nothing\n", "no public key"),
            ("ssh-ed25519 AAAAC3Nza me\n", "line 1"),
            ("ssh-ed25519", "line 1"),
            (torn, "line 1"),
            (&renamed, "line 1"),
            (&format!("{KEY}\nhello\n"), "line 2"),
            (&KEY.replace(' ', "\n"), "line 1"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "the public one"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\n", "ssh-keygen -i"),
        ] {
            let error = login_keys(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.lines().count() == 1, "{text:?}: {error}");
        }
    }
}
