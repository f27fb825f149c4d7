//! What a broker retains of a fleet.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use link::{BrokerAccess, Command, Link, LinkEvent, random_id};
use tokio::time::timeout;
use wire::{Payload, Publication, Topics};

/// How long the broker may take to answer.
const CONNECTING: Duration = Duration::from_secs(10);
/// A broker that has sent nothing for so long has sent all that it retains.
const QUIET: Duration = Duration::from_secs(2);
/// How long it may take to be told what to delete.
const PARTING: Duration = Duration::from_secs(60);

/// Deletes every message that is retained below a prefix, and returns how many there were.
///
/// # Errors
/// If the broker does not answer.
pub fn clear(access: &BrokerAccess, topics: &Topics) -> anyhow::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut cleared = BTreeSet::new();
        // Again until there is nothing more: a broker may send some of many retained messages only.
        loop {
            let found = clear_once(access, topics).await?;
            let before = cleared.len();
            cleared.extend(found);
            if cleared.len() == before {
                return Ok(before);
            }
        }
    })
}

/// Deletes what is retained on these topics.
///
/// # Errors
/// If the broker does not answer.
pub(crate) fn delete(access: &BrokerAccess, topics: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut link = Link::open(access.link(format!("operator-{:016x}", random_id()), CONNECTING));
        match link.next().await {
            Some(LinkEvent::Connected) => {}
            Some(LinkEvent::Closed(Err(error))) => return Err(error.into()),
            _ => bail!("the connection was closed"),
        }
        for topic in topics {
            link.send(nothing_on(topic)).await;
        }
        link.close(PARTING).await;
        Ok(())
    })
}

/// An empty message is how a retained one is deleted.
fn nothing_on(topic: String) -> Command {
    Command::Publish(Publication { topic, payload: Payload::from(bytes::Bytes::new()), retain: true })
}

/// Deletes what the broker sends at once, and returns its topics.
async fn clear_once(access: &BrokerAccess, topics: &Topics) -> anyhow::Result<BTreeSet<String>> {
    let mut link = Link::open(access.link(format!("operator-{:016x}", random_id()), CONNECTING));
    let mut found = BTreeSet::new();
    let mut connected = false;
    loop {
        let event = if connected {
            match timeout(QUIET, link.next()).await {
                Ok(event) => event,
                Err(_) => break,
            }
        } else {
            link.next().await
        };
        match event {
            Some(LinkEvent::Connected) => {
                connected = true;
                link.send(Command::Subscribe(format!("{}/#", topics.prefix()))).await;
            }
            Some(LinkEvent::Message { topic, payload, retained }) => {
                // Below the same prefix there may be what is another fleet's, or nobody's of this protocol.
                if retained && !payload.is_empty() && topics.parse(&topic).is_some() {
                    link.send(nothing_on(topic.clone())).await;
                    found.insert(topic);
                }
            }
            Some(LinkEvent::Disconnected) => bail!("the broker {} hung up", access.broker),
            Some(LinkEvent::Closed(Err(error))) => return Err(error.into()),
            Some(LinkEvent::Closed(Ok(()))) | None => bail!("the connection was closed"),
        }
    }
    link.close(PARTING).await;
    Ok(found)
}
