//! `hil fleet`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::common::{Ending, Format};
use crate::fleet::inventory::Inventory;
use crate::fleet::provision::{FirstToExpire, Manifest};
use crate::fleet::status::{Access, Statuses, states, table};

/// How often `--watch` shows the fleet anew.
const REFRESH: Duration = Duration::from_secs(2);
/// Clears a terminal.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    Status(StatusArgs),
}

/// Show what each device of a fleet last said of itself
///
///   cargo hil fleet status shelf.toml fleet
///
/// A terminal that is too narrow for all columns gets fewer; a file or a pipe gets all, and --format json has more. `heard`
/// is how long ago a device said something: of what was lying at the broker, by the device's own clock. An error is shown
/// until an update of a later round is accepted.
/// `never seen` is a device of which the broker has nothing: it has not connected since the broker was started.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct StatusArgs {
    /// The inventory of the fleet
    fleet: PathBuf,
    /// The folder that `hil provision` wrote, for a broker with TLS
    folder: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Show it again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Seconds that the broker may take to tell of all devices
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    wait: u64,
}

impl FleetCommand {
    /// Shows the fleet.
    ///
    /// # Errors
    /// If the inventory is unusable, or the broker does not answer.
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let FleetCommand::Status(args) = self;
        let inventory = Inventory::load(&args.fleet)?;
        let ids: Vec<_> = inventory.devices.iter().map(|device| device.id).collect();
        let expiry = expiry(&inventory, args.folder.as_deref())?;
        let access = Access::new(&inventory.broker.url, args.folder.as_deref())?;
        let statuses = Statuses::watch(&access, &ids)?;
        statuses.settle(&ids, Duration::from_secs(args.wait));
        let clear = if args.watch && std::io::stdout().is_terminal() { CLEAR } else { "" };
        loop {
            let states = states(&inventory, &statuses.latest());
            let shown = match args.format {
                Format::Json if args.watch => serde_json::to_string(&states)?,
                Format::Json => serde_json::to_string_pretty(&states)?,
                Format::Table => {
                    let table = table(&states, width(), SystemTime::now());
                    format!("{clear}{table}{expiry}").trim_end().to_owned()
                }
            };
            if !link::print(shown)? || !args.watch {
                return Ok(Ending::Finished);
            }
            sleep(REFRESH);
        }
    }
}

/// Which certificate of the fleet ends first, for a line below the table.
///
/// # Errors
/// If the operator's own is over.
fn expiry(inventory: &Inventory, folder: Option<&Path>) -> anyhow::Result<String> {
    let Some(folder) = folder.filter(|_| inventory.broker.url.tls) else { return Ok(String::new()) };
    let manifest = Manifest::load(folder, &inventory.name)?;
    manifest.check_dates(folder, &["operator"])?;
    Ok(manifest.first_to_expire().map_or_else(String::new, |FirstToExpire { name, day, days_left }| {
        let when =
            if days_left < 0 { "expired".to_owned() } else { format!("expires, in {days_left} days,") };
        format!("the first certificate, of {name}, {when} on {day}\n")
    }))
}

/// Characters in a line of the terminal that standard output is; `None` if it is none.
fn width() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten()?;
    // A terminal that does not know says 0.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
