//! The other programs that a scenario names, and who allows them.

use std::fmt;

use program::CommandLine;
use robust::OtherProgram;

use super::Scenario;

/// A program that a scenario names and that nobody has allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed {
    /// The key that names it.
    key: &'static str,
    command: CommandLine,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotAllowed { key, command } = self;
        let quoted = command.to_string().replace('\'', r"'\''");
        write!(
            f,
            "the scenario's {key} names a program that is not allowed here: give --allow-program '{quoted}', set \
             OUTPOST_ALLOW_PROGRAM, or on a device write `allow-program = {}` into the file of --config",
            toml::Value::Array(vec![command.to_string().into()])
        )
    }
}

impl std::error::Error for NotAllowed {}

/// Other programs that may run as long as this is there.
#[must_use = "they are ended with it"]
pub struct Allowed<'a>(Vec<&'a dyn OtherProgram>);

impl Drop for Allowed<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|program| program.end());
    }
}

impl Scenario {
    /// The programs of its stages and its rule, which the aggregator starts, with the keys that name them.
    fn defending(&self) -> impl Iterator<Item = (&'static str, &dyn OtherProgram)> {
        let stages = self.defense.iter().filter_map(|stage| stage.program());
        let rule = self.aggregation.rule.program().map(|program| ("aggregation.command", program));
        stages.map(|program| ("defense.command", program)).chain(rule)
    }

    /// The program of its attack, which a compromised device starts.
    fn attacking(&self) -> impl Iterator<Item = (&'static str, &dyn OtherProgram)> {
        let program = self.attack.kind.as_ref().and_then(|attack| attack.program());
        program.map(|program| ("attack.command", program)).into_iter()
    }

    /// Allows what it names, whatever that is, in this process: for a bench, on the machine and by the word of whoever wrote it.
    pub fn allow_programs(&self) -> Allowed<'_> {
        let programs = self.defending().chain(self.attacking()).map(|(_, program)| program);
        let programs: Vec<_> = programs.inspect(|program| program.allow()).collect();
        Allowed(programs)
    }

    /// Allows the programs of the aggregator that are among `allowed`.
    ///
    /// # Errors
    /// The first that is not.
    pub fn allow_defense(&self, allowed: &[CommandLine]) -> Result<(), NotAllowed> {
        allow(self.defending(), allowed)
    }

    /// Allows the programs of a compromised device that are among `allowed`: that of its attack, and that of the rule, should
    /// it try that out.
    ///
    /// # Errors
    /// If that of the attack is not.
    pub fn allow_attack(&self, allowed: &[CommandLine]) -> Result<(), NotAllowed> {
        // Not every attack tries the rule out; one that does, and may not, says so in its round.
        let _ = allow(self.defending(), allowed);
        allow(self.attacking(), allowed)
    }

    /// The commands of the programs that the aggregator starts.
    pub fn defense_commands(&self) -> Vec<CommandLine> {
        self.defending().map(|(_, program)| CommandLine::of(program.command())).collect()
    }

    /// The commands of the programs that a compromised device may start.
    pub fn attack_commands(&self) -> Vec<CommandLine> {
        if self.attack.kind.is_none() {
            return Vec::new();
        }
        let rule = self.aggregation.rule.program().into_iter();
        let programs = self.attacking().map(|(_, program)| program).chain(rule);
        programs.map(|program| CommandLine::of(program.command())).collect()
    }
}

/// Allows those of `programs` that are among `allowed`, and names the first that is not.
fn allow<'a>(
    programs: impl Iterator<Item = (&'static str, &'a dyn OtherProgram)>,
    allowed: &[CommandLine],
) -> Result<(), NotAllowed> {
    let mut refused = Ok(());
    for (key, program) in programs {
        let command = CommandLine::of(program.command());
        if allowed.contains(&command) {
            program.allow();
        } else if refused.is_ok() {
            refused = Err(NotAllowed { key, command });
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(settings: &[&str]) -> Scenario {
        let text = "name = \"t\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 9\n";
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("t.toml", text, &settings).unwrap()
    }

    fn commands(texts: &[&str]) -> Vec<CommandLine> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn only_the_very_command_that_is_allowed_may_run() {
        let scenario = scenario(&["attack.kind=program", "attack.command=[\"python3\", \"it's mine.py\"]"]);
        let refused =
            scenario.allow_attack(&commands(&["python3", "python3 mine.py"])).unwrap_err().to_string();
        let advice = r#"the scenario's attack.command names a program that is not allowed here: give --allow-program '["python3","it'\''s mine.py"]', set OUTPOST_ALLOW_PROGRAM, or on a device write `allow-program = ["#;
        assert!(refused.starts_with(advice), "{refused}");
        scenario.allow_attack(&commands(&["a", r#"["python3", "it's mine.py"]"#])).unwrap();
        scenario.allow_defense(&[]).unwrap();
    }

    #[test]
    fn the_aggregator_starts_stages_and_rule_and_a_device_the_attack() {
        let scenario = scenario(&[
            "aggregation.rule=program",
            "aggregation.command=[\"rule\"]",
            "defense.kind=program",
            "defense.command=[\"stage\"]",
            "defense.remove=1",
            "attack.kind=program",
            "attack.command=[\"attack\"]",
        ]);
        assert_eq!(scenario.defense_commands(), commands(&["stage", "rule"]));
        assert_eq!(scenario.attack_commands(), commands(&["attack", "rule"]));
        let refused = |allowed: &[&str]| scenario.allow_defense(&commands(allowed)).unwrap_err().to_string();
        assert!(refused(&["rule", "attack"]).contains("defense.command"));
        assert!(refused(&["stage"]).contains("aggregation.command"));
        scenario.allow_defense(&commands(&["rule", "stage"])).unwrap();
        scenario.allow_attack(&commands(&["attack"])).unwrap();
        assert!(scenario.allow_attack(&commands(&["rule"])).is_err());
    }
}
