//! What compromised devices do, as the clients of a bench log it on this machine: never what a device claims.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use scenario::Scenario;
use scenario::attack_record::{AttackEvent, AttackRecord};
use tracing::warn;

/// So much is read at a time at most; a line has some 80 bytes.
const MAX_READ: u64 = 1 << 20;

/// A file that clients append to, read on and on.
#[derive(Debug)]
pub struct AttackLog {
    path: PathBuf,
    position: u64,
    /// What has been read of the last round that was asked for, and of later ones.
    events: Vec<AttackEvent>,
}

impl AttackLog {
    /// The log at `path`, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        AttackLog { path, position: 0, events: Vec::new() }
    }

    /// The attack on `round`, of which all is written: clients write first and send then.
    pub fn take(&mut self, scenario: &Scenario, round: u32) -> Option<AttackRecord> {
        loop {
            match self.read_on() {
                Ok(true) => self.events.retain(|event| event.round >= round),
                Ok(false) => break,
                Err(error) => {
                    warn!("--attack-log {}: {error}", self.path.display());
                    break;
                }
            }
        }
        AttackRecord::of(scenario, round, &self.events)
    }

    /// Reads what follows; false if there is no complete line.
    fn read_on(&mut self) -> std::io::Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.position))?;
        let mut text = Vec::new();
        file.take(MAX_READ).read_to_end(&mut text)?;
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.position += complete as u64;
        let lines = text[..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        self.events.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
        Ok(complete > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use scenario::attack_record::AttackStep;
    use scenario::attacks::Models;
    use wire::identity::DeviceId;

    use super::*;

    #[test]
    fn what_is_appended_joins_the_record_of_its_round() {
        let text = "name = \"a\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n\
                    [fleet]\ndevices = 5\ncompromised = 1\n[aggregation]\nrule = \"median\"\n\
                    [attack]\nkind = \"trimmed-mean\"\n";
        let scenario = Scenario::parse("a.toml", text, &[]).unwrap();
        let device: DeviceId = scenario.attackers().into_iter().next().unwrap();
        let line = |round, what| serde_json::to_string(&AttackEvent { device, round, what }).unwrap() + "\n";
        let from = Models { colluders: 1, benign: 0 };
        let crafted = |round| line(round, AttackStep::Crafted { from, gave_up: false });
        let sent = |round| line(round, AttackStep::SentCrafted);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attack.jsonl");
        let mut log = AttackLog::new(path.clone());
        assert!(!log.take(&scenario, 1).unwrap().is_as_meant(), "nothing has been written yet");
        let mut text = crafted(1) + &sent(1) + "no JSON\n" + &crafted(2);
        let torn = sent(2);
        fs::write(&path, text.clone() + &torn[..9]).unwrap();
        assert!(log.take(&scenario, 1).unwrap().is_as_meant());
        text += &torn;
        fs::write(&path, text + &crafted(3)).unwrap();
        assert!(log.take(&scenario, 2).unwrap().is_as_meant(), "the rest of a line has come");
        assert_eq!(log.take(&scenario, 3).unwrap().silent, [device]);
    }
}
