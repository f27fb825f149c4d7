//! An sshd on the loopback.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use hil_tests::system::held_port::HeldPort;
use link::skipped;
use tempfile::TempDir;

use crate::process::{Process, run, wait_until};

/// An sshd with keys of its own, that the user of this test may log in to.
pub(crate) struct Sshd {
    folder: TempDir,
    pub(crate) port: u16,
    pub(crate) user: String,
    process: Process,
    _port: HeldPort,
}

impl Sshd {
    /// `None`, having said so, where OpenSSH is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same, with `more` lines for its configuration.
    pub(crate) fn start_with(more: &str) -> Option<Self> {
        // It wants to be called by its full name.
        let Some(sshd) =
            ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|path| Path::new(path).is_file())
        else {
            skipped("sshd", "it is not installed (Debian: openssh-server)");
            return None;
        };
        let (folder, held) = (tempfile::tempdir().unwrap(), HeldPort::local().unwrap());
        let port = held.address().port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "client"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
            run(keygen).succeeded();
        }
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             {more}\n",
            path("host"),
            path("client.pub")
        );
        fs::write(path("sshd_config"), server).unwrap();
        let public = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known_hosts"), format!("[127.0.0.1]:{port} {public}")).unwrap();
        for (config, known) in [("ssh_config", path("known_hosts")), ("stranger_config", path("nobody"))] {
            let client = format!(
                "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {known}\nGlobalKnownHostsFile /dev/null\n",
                path("client")
            );
            fs::write(path(config), client).unwrap();
        }
        let mut id = Command::new("id");
        id.arg("-un");
        let user = run(id).succeeded().stdout.trim().to_owned();
        if user == "root" {
            // Where it parts with its privileges; made by its service otherwise.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f", &path("sshd_config")]);
        let mut process = Process::start(command);
        wait_until("sshd answers", || {
            assert!(process.is_running(), "sshd has ended: {}", process.stderr());
            TcpStream::connect(held.address()).is_ok()
        });
        Some(Sshd { folder, port, user, process, _port: held })
    }

    /// How many logins there were.
    pub(crate) fn logins(&self) -> usize {
        self.process.stderr().matches("Accepted publickey").count()
    }

    /// The keys of an inventory for a device that is reached here, with its folder at `root`.
    pub(crate) fn device(&self, root: &Path) -> String {
        let Sshd { port, user, .. } = self;
        format!(
            "kind = \"ssh\"\naddress = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\nservice = \"process\"\nroot = \"{}\"",
            root.display()
        )
    }

    /// A configuration for ssh: `ssh_config` knows the host's key, `stranger_config` does not.
    pub(crate) fn config(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}
