//! User name and password for a broker. The password comes from a file or the environment: a command line is there for
//! everybody on the machine to read.

#![allow(clippy::doc_markdown, reason = "clap prints these comments as they stand")]

use std::ffi::OsString;
use std::num::NonZero;
use std::ops::Not;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fmt, fs};

use clap::builder::TypedValueParser;
use serde::{Deserialize, Serialize};

use crate::link::KEEP_ALIVE;
use crate::tls::warn_if_others_can_read;
use crate::{BrokerAddress, LinkOptions, Tls, TlsError, TlsFiles};

/// Where a password may be instead of in a file.
pub const PASSWORD: &str = "OUTPOST_PASSWORD";

/// Options of a login and of the session that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct LoginOptions {
    /// User name at the broker; the password is in --password-file or in OUTPOST_PASSWORD
    #[arg(long, value_name = "NAME", env = "OUTPOST_USER", value_parser = given)]
    pub user: Option<String>,
    /// File with the password at the broker, alone on its first line
    #[arg(long, value_name = "FILE", env = "OUTPOST_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Send the password although the broker is spoken to without TLS: everybody on the way can read it
    #[arg(long, env = "OUTPOST_PLAIN_PASSWORD")]
    #[serde(skip_serializing_if = "Not::not")]
    pub plain_password: bool,
    /// Seconds after which the broker is told that this program is still there [default: 15]
    #[arg(long, value_name = "SECONDS", env = "OUTPOST_KEEP_ALIVE", value_parser = seconds())]
    pub keep_alive: Option<NonZero<u16>>,
}

/// User name and password. Never shows the latter.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// One half of a pair.
    #[error("--user {0} without a password: give --password-file FILE, or set OUTPOST_PASSWORD")]
    NoPassword(String),
    /// The other half.
    #[error("--password-file without --user NAME: a broker asks for both")]
    NoUser,
    /// A file that cannot be used.
    #[error("--password-file {}: {what}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A password that everybody could read.
    #[error(
        "the password would go to {0} for everybody on the way to read: name the broker as mqtts://HOST, or say \
         --plain-password if the way is trusted"
    )]
    Plain(BrokerAddress),
}

/// Everything that says how a broker is spoken to. Flattened into the options of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub struct BrokerOptions {
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub tls: TlsFiles,
    #[command(flatten)]
    #[serde(flatten)]
    #[allow(missing_docs, reason = "clap would print it")]
    pub login: LoginOptions,
}

/// What of [`BrokerOptions`] a link takes, read and checked.
#[derive(Clone, Debug)]
pub struct BrokerAccess {
    /// The broker.
    pub broker: BrokerAddress,
    /// TLS, if the broker speaks it.
    pub tls: Option<Tls>,
    /// User name and password, if it asks for them.
    pub login: Option<Login>,
    /// The keep-alive.
    pub keep_alive: Duration,
}

/// Why a broker cannot be spoken to as the options say.
#[derive(Debug, thiserror::Error)]
pub enum BrokerOptionsError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// User name and password.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl BrokerOptions {
    /// The arguments of a program that is to take these options; a password in the environment is none of them.
    pub fn arguments(&self) -> Vec<OsString> {
        let LoginOptions { user, password_file, plain_password, keep_alive } = &self.login;
        let mut arguments = self.tls.arguments();
        let mut give = |option: &str, value: Option<OsString>| {
            arguments.extend(value.into_iter().flat_map(|value| [option.into(), value]));
        };
        give("--user", user.as_ref().map(Into::into));
        give("--password-file", password_file.as_ref().map(Into::into));
        give("--keep-alive", keep_alive.map(|seconds| seconds.to_string().into()));
        arguments.extend(plain_password.then(|| "--plain-password".into()));
        arguments
    }

    /// Reads the files for a link to `broker`.
    ///
    /// # Errors
    /// If options and broker contradict each other, or a file is unusable.
    pub fn load(&self, broker: &BrokerAddress) -> Result<BrokerAccess, BrokerOptionsError> {
        Ok(BrokerAccess {
            broker: broker.clone(),
            tls: self.tls.load(broker)?,
            login: self.login.load(broker, env::var(PASSWORD).ok())?,
            keep_alive: self
                .login
                .keep_alive
                .map_or(KEEP_ALIVE, |seconds| Duration::from_secs(seconds.get().into())),
        })
    }
}

impl BrokerAccess {
    /// After so long without a word from the broker a link has noticed that its connection is dead: it asks after each
    /// keep-alive, and an answer that is not there with the next question is none.
    pub fn silence(&self) -> Duration {
        2 * self.keep_alive + Duration::from_secs(2)
    }

    /// Options of a link, without a last will.
    pub fn link(&self, client_id: String, patience: Duration) -> LinkOptions {
        let BrokerAccess { broker, tls, login, keep_alive } = self.clone();
        LinkOptions { tls, login, keep_alive, ..LinkOptions::new(broker, client_id, patience) }
    }
}

impl LoginOptions {
    /// Reads the password for `broker`, from the file or from `variable`; `None` if no user is named.
    fn load(&self, broker: &BrokerAddress, variable: Option<String>) -> Result<Option<Login>, LoginError> {
        let variable = variable.filter(|password| !password.is_empty());
        let Some(user) = self.user.clone() else {
            // The variable may be meant for another program.
            return if self.password_file.is_some() { Err(LoginError::NoUser) } else { Ok(None) };
        };
        let password = match &self.password_file {
            Some(file) => {
                let wrong = |what: String| LoginError::File { file: file.clone(), what };
                let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
                warn_if_others_can_read("password", file);
                let password = text.lines().next().filter(|line| !line.is_empty());
                password
                    .ok_or_else(|| wrong("its first line is empty; write the password there".to_owned()))?
                    .to_owned()
            }
            None => variable.ok_or_else(|| LoginError::NoPassword(user.clone()))?,
        };
        if !broker.tls && !self.plain_password {
            return Err(LoginError::Plain(broker.clone()));
        }
        Ok(Some(Login { user, password }))
    }
}

fn seconds() -> impl TypedValueParser<Value = NonZero<u16>> {
    clap::value_parser!(u16).range(1..).try_map(NonZero::try_from)
}

/// An empty variable of the environment counts as none, so an empty name is none either.
fn given(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a user name is not empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        broker: &str,
        user: Option<&str>,
        file: Option<&str>,
        variable: Option<&str>,
    ) -> Result<Option<Login>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        file.into_iter().for_each(|text| fs::write(&path, text).unwrap());
        let options = LoginOptions {
            user: user.map(str::to_owned),
            password_file: file.map(|_| path.clone()),
            ..LoginOptions::default()
        };
        let loaded = options.load(&broker.parse().unwrap(), variable.map(str::to_owned));
        loaded.map_err(|error| error.to_string())
    }

    #[test]
    fn a_password_comes_from_a_file_or_the_environment_and_goes_over_tls() {
        let login = |password: &str| Some(Login { user: "pi".to_owned(), password: password.to_owned() });
        assert_eq!(load("mqtts://h", Some("pi"), Some("s p\n"), None), Ok(login("s p")));
        assert_eq!(load("mqtts://h", Some("pi"), None, Some("variable")), Ok(login("variable")));
        assert_eq!(load("mqtts://h", Some("pi"), Some("file"), Some("variable")), Ok(login("file")));
        assert_eq!(load("mqtt://h", None, None, Some("of another")), Ok(None));
        let plain =
            LoginOptions { user: Some("pi".to_owned()), plain_password: true, ..LoginOptions::default() };
        let trusted = plain.load(&"mqtt://h".parse().unwrap(), Some("p".to_owned()));
        assert_eq!(trusted.unwrap(), login("p"));
    }

    #[test]
    fn what_is_wrong_with_a_login_is_said_in_one_line_without_the_password() {
        for (broker, user, file, variable, part) in [
            ("mqtts://h", Some("pi"), None, None, "OUTPOST_PASSWORD"),
            ("mqtts://h", Some("pi"), None, Some(""), "--user pi without a password"),
            ("mqtts://h", None, Some("secret"), None, "--password-file without --user"),
            ("mqtts://h", Some("pi"), Some("\nsecret"), None, "first line is empty"),
            ("mqtt://h", Some("pi"), None, Some("secret"), "mqtts://HOST, or say --plain-password"),
        ] {
            let error = load(broker, user, file, variable).unwrap_err();
            assert!(error.contains(part) && !error.contains("secret"), "no `{part}` in: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let login = Login { user: "pi".to_owned(), password: "secret".to_owned() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
