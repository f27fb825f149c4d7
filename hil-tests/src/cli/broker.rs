//! `hil broker`.

#![allow(clippy::doc_markdown, rustdoc::bare_urls, reason = "clap prints these comments as they stand")]

use clap::{Args, Subcommand};
use link::{BrokerAddress, BrokerOptions};
use wire::Topics;

use super::common::Ending;
use crate::fleet::retained;

#[derive(Debug, Subcommand)]
pub(super) enum BrokerCommand {
    Clear(ClearArgs),
}

/// Delete what a broker retains of a fleet: its last announcement and its devices' statuses
///
///   cargo hil broker clear outpost --broker mqtt://192.168.1.10:1883
///
/// Not while the fleet is at work: its devices would not hear of the run until the next announcement.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ClearArgs {
    /// First level(s) of the topics: every retained message below is deleted
    #[arg(value_name = "PREFIX", value_parser = Topics::new)]
    prefix: Topics,
    /// The broker
    #[arg(long, value_name = "URL", env = "OUTPOST_BROKER")]
    broker: BrokerAddress,
    #[command(flatten)]
    access: BrokerOptions,
}

impl BrokerCommand {
    /// Clears the topics and says how many there were.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let BrokerCommand::Clear(ClearArgs { prefix, broker, access }) = self;
        let access = access.load(&broker)?;
        let cleared = retained::clear(&access, &prefix)?;
        let messages = if cleared == 1 { "message" } else { "messages" };
        link::print(format_args!(
            "{broker}: {cleared} retained {messages} deleted below {}",
            prefix.prefix()
        ))?;
        Ok(Ending::Finished)
    }
}
