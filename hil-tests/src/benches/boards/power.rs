//! Switching the power of a device.

use anyhow::{Context, ensure};

use crate::fleet::deploy::last_words;
use crate::fleet::inventory::{Device, Power};
use crate::system::child_output::{Limits, output};
use crate::system::children;

/// Does `action` to the power of `device`, with the command of its inventory, and waits for that.
///
/// # Errors
/// If it has no such command, or the command fails.
pub(super) fn switch(device: &Device, action: Power) -> anyhow::Result<()> {
    let (id, name) = (device.id, action.name());
    let words = device.power(action);
    let words = words.with_context(|| format!("{id} has no `power` command in the inventory"))?;
    let (program, arguments) = words.split_first().context("an empty `power` command")?;
    let output = output(children::command_for_what_stays(program).args(arguments), Vec::new(), Limits::BRIEF);
    let output = output.with_context(|| format!("{id}: the power command {program}"))?;
    let said = last_words(&String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{id}: `{}` has not switched it {name}: {said}", words.join(" "));
    Ok(())
}
