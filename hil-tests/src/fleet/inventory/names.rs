//! Names of machines and of people: which of them ssh, DNS and a board's `useradd` take.

use std::net::{IpAddr, Ipv6Addr};

/// Longest name of a host, and of one of its labels (RFC 1035).
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;
/// Longest name that `useradd` takes.
const LONGEST_USER: usize = 32;
/// Users and groups of a board's own, whom a first boot cannot make.
const TAKEN: &str = "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody \
    messagebus sshd sudo video users systemd-network systemd-journal";

/// Makes sure that `text` is a host name (RFC 1123; `_` too, which aliases of ssh's own configuration may have) or an IP
/// address; never one that ssh would take for an option.
///
/// # Errors
/// What is wrong with it, and what to write.
pub(super) fn check_host(text: &str) -> Result<(), String> {
    let (bare, zone) = text.split_once('%').map_or((text, None), |(bare, zone)| (bare, Some(zone)));
    if let Ok(address) = bare.parse::<IpAddr>() {
        return check_address(address, zone);
    }
    if let Some(bracketed) = text.strip_prefix('[').and_then(|rest| rest.split(']').next())
        && bracketed.split('%').next().is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok())
    {
        return Err(format!("write \"{bracketed}\" without brackets, and a port as `port`"));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && check_host(host).is_ok()
        && !port.is_empty()
        && port.chars().all(|c| c.is_ascii_digit())
    {
        return Err(format!("a port is a key of its own: write \"{host}\", and `port = {port}` below it"));
    }
    if let Some((user, host)) = text.rsplit_once('@')
        && check_host(host).is_ok()
    {
        return Err(format!(
            "who logs in is a key of its own: write \"{host}\", and `user = \"{user}\"` below it"
        ));
    }
    // A dot at the end says that a name is complete.
    let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    if text.len() > LONGEST_HOST || !labels.iter().all(|label| is_label(label)) {
        return Err("neither a host name nor an IP address".to_owned());
    }
    // No top-level domain is a number, and resolvers read such names in ways of their own.
    if labels.last().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit())) {
        return Err("not an IP address: write four numbers up to 255".to_owned());
    }
    Ok(())
}

fn check_address(address: IpAddr, zone: Option<&str>) -> Result<(), String> {
    if address.is_unspecified() || address.is_multicast() {
        return Err("not the address of one machine".to_owned());
    }
    let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    match zone {
        None if link_local => {
            Err(format!("of a link-local address say the interface, too, as in {address}%eth0"))
        }
        Some(_) if !link_local => Err(format!("only a link-local address has a zone: write \"{address}\"")),
        // The longest name of an interface on Linux.
        Some(zone) if !is_label(zone) || zone.len() > 15 => Err(format!("`{zone}` is no interface")),
        _ => Ok(()),
    }
}

fn is_label(label: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let whole = !label.starts_with('-') && !label.ends_with('-');
    (1..=LONGEST_LABEL).contains(&label.len()) && whole && label.chars().all(plain)
}

/// Whether ssh takes `text` for a user: names of other systems, too, as in `john.doe`, `DOMAIN\user` or `user@domain`.
/// Nothing in it means anything to a shell or to a unit of systemd.
pub(super) fn is_user(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+\\@".contains(c);
    let whole = !text.starts_with(['-', '\\', '@', '+']) && !text.ends_with(['\\', '@']);
    (1..=64).contains(&text.len()) && whole && text.chars().all(plain)
}

/// Whether a first boot can make a user of this name: one that `useradd` takes, that is not there yet, and that sudo does
/// not take for an alias or a number.
pub(crate) fn can_be_made(user: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let starts = user.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    starts
        && user.len() <= LONGEST_USER
        && user.chars().all(plain)
        && !TAKEN.split(' ').any(|taken| taken == user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_that_ssh_takes_are_taken() {
        let hosts = "192.168.1.21 pi my_pi device-000.local PI.example. 3com.example ::1 2001:db8::7 fe80::1%eth0 \
                     fe80::ba27:ebff:fe00:1%wlan0 127.0.0.1";
        for host in hosts.split(' ') {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_what_to_write() {
        for (host, part) in [
            ("127.0.0.1:22", "write \"127.0.0.1\", and `port = 22`"),
            ("pi.local:2222", "write \"pi.local\", and `port = 2222`"),
            ("[::1]:22", "\"::1\" without brackets"),
            ("[fe80::1%eth0]", "\"fe80::1%eth0\" without brackets"),
            ("pi@device-000.local", "`user = \"pi\"`"),
            ("fe80::1", "fe80::1%eth0"),
            ("::1%eth0", "write \"::1\""),
            ("192.168.1.5%eth0", "write \"192.168.1.5\""),
            ("fe80::1%", "no interface"),
            ("fe80::1%-x", "no interface"),
            ("192.168.1.256", "four numbers"),
            ("10.1", "four numbers"),
            ("0.0.0.0", "one machine"),
            ("-oProxyCommand=x", "neither"),
            ("-pi", "neither"),
            ("pi-.local", "neither"),
            ("pi..local", "neither"),
            (".", "neither"),
            ("", "neither"),
            (" pi", "neither"),
            ("pi local", "neither"),
            ("pi\n", "neither"),
            ("1.2.3.4;reboot", "neither"),
            ("ssh://pi", "neither"),
            ("müller.local", "neither"),
            ("pi:", "neither"),
        ] {
            let error = check_host(host).expect_err(host);
            assert!(error.contains(part), "{host:?}: {error}");
        }
        assert!(check_host(&"x".repeat(64)).is_err() && check_host(&"x.".repeat(127)).is_err());
    }

    #[test]
    fn users_of_other_systems_log_in_too_and_no_option_or_shell_does() {
        for user in
            ["outpost", "john.doe", "DOMAIN\\user", "user@corp.example", "Alice", "_svc", "0day", "a-b+c"]
        {
            assert!(is_user(user), "{user}");
        }
        for user in [
            "",
            "-oProxyCommand=x",
            "a b",
            "root;",
            "$(id)",
            "a\\",
            "\\a",
            "a%h",
            "a/b",
            "a:b",
            "a'b",
            "ü",
            "a\n",
        ] {
            assert!(!is_user(user), "{user:?}");
        }
    }

    #[test]
    fn a_first_boot_makes_users_that_useradd_and_sudo_take() {
        assert!(["outpost", "pi", "john.doe", "_svc"].into_iter().all(can_be_made));
        for user in ["root", "video", "Alice", "ALL", "DOMAIN\\user", "0day", "a@b", &"x".repeat(33)] {
            assert!(!can_be_made(user), "{user}");
        }
    }
}
