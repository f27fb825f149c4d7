//! The command line and the environment.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, Parser};

/// The command line and the environment as `T`; where they are none, it says so and ends the process, as
/// [`Parser::parse`] does. An environment variable that is empty counts as not set.
pub fn arguments<T: Parser>() -> T {
    arguments_of(env::args_os())
}

/// As [`arguments`], with `words` as the command line, the program's name first.
pub fn arguments_of<T: Parser>(words: impl IntoIterator<Item = OsString>) -> T {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = without_variables(T::command(), &is_empty);
    let matches = command.try_get_matches_from_mut(words).unwrap_or_else(|error| error.exit());
    T::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// `command` and its subcommands, deaf to the variables of which `is_empty` holds.
fn without_variables(command: Command, is_empty: &impl Fn(&OsStr) -> bool) -> Command {
    let deaf = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(None::<&str>) } else { arg };
    command.mut_args(deaf).mut_subcommands(|subcommand| without_variables(subcommand, is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_does_not_hear_a_variable_that_is_empty() {
        let arg = |name: &'static str| Arg::new(name).long(name).env(name);
        let command = Command::new("x")
            .arg(arg("EMPTY"))
            .subcommand(Command::new("y").args([arg("EMPTY"), arg("SET")]));
        let command = without_variables(command, &|name| name == "EMPTY");
        let heard = |command: &Command| command.get_arguments().filter(|arg| arg.get_env().is_some()).count();
        assert_eq!((heard(&command), heard(command.find_subcommand("y").unwrap())), (0, 1));
    }
}
