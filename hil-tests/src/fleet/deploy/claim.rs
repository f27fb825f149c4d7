//! Who holds a device, in a file that others read.

use std::env;
use std::path::Path;

use link::random_id;
use time::OffsetDateTime;

/// That a device belongs to one run or deployment: a second one would end the clients of the first.
///
/// The device keeps it in a file of its root, with the number of the line that it came on. It ends with its owner's word, and
/// counts for nothing a minute after that line has ended. The same owner, once its earlier line has ended, need not wait.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Drawn anew for each run or deployment.
    token: String,
    /// Who, where and for what.
    owner: String,
    since: String,
    /// Whether it stands against the claim of another.
    take_over: bool,
}

impl Claim {
    /// A claim of this user on this machine for `what` in the folder `of`; it stands against others if `take_over`.
    pub(crate) fn new(what: &str, of: &Path, take_over: bool) -> Self {
        let user = ["USER", "LOGNAME"].into_iter().find_map(env::var_os).filter(|user| !user.is_empty());
        let user = user.map_or_else(
            || format!("user {}", rustix::process::getuid().as_raw()),
            |user| user.to_string_lossy().into_owned(),
        );
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let folder = std::path::absolute(of).unwrap_or_else(|_| of.to_owned());
        let now = OffsetDateTime::now_utc();
        Claim {
            token: format!("{:016x}", random_id()),
            owner: one_line(&format!("{user}@{host} for {what} {}", folder.display())),
            since: format!("{} {:02}:{:02} UTC", now.date(), now.hour(), now.minute()),
            take_over,
        }
    }

    /// The same, for a line that takes the place of an earlier one: it is not taken back from others.
    pub(crate) fn again(&self) -> Self {
        Claim { take_over: false, ..self.clone() }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// As the script takes it.
    pub(super) fn words(&self) -> [&str; 4] {
        [&self.token, if self.take_over { "yes" } else { "no" }, &self.owner, &self.since]
    }
}

/// A user's or a folder's name may hold whatever it likes.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
