//! A wireless network that a board can join.

/// Longest name of a network, in bytes (IEEE 802.11).
const LONGEST_SSID: usize = 32;
/// ISO 3166-1. Linux knows the rules for radio by these codes; with another one, or none, Raspberry Pi OS leaves the radio
/// off.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI \
    FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS \
    IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA \
    RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT \
    TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// A wireless network with a passphrase.
#[derive(Clone)]
pub struct Wifi {
    pub(super) ssid: String,
    pub(super) passphrase: String,
    pub(super) country: String,
}

/// Why a board could not join such a network. A passphrase is never shown.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WifiError {
    /// No name of a network.
    #[error("`{0}`: the name of a network has 1 to 32 bytes and no control characters")]
    Ssid(String),
    /// More than one line.
    #[error("holds more than one line; the passphrase alone belongs there")]
    Lines,
    /// A passphrase of a wrong length: so many characters.
    #[error("a passphrase has 8 to 63 characters, or is a key of 64 hexadecimal digits; this one has {0}")]
    Length(usize),
    /// A passphrase with something else than ASCII.
    #[error(
        "character {0} of the passphrase is not printable ASCII; give the key instead, 64 hexadecimal digits \
             (`wpa_passphrase` prints it)"
    )]
    NotAscii(usize),
    /// A country in a spelling of its own.
    #[error("`{0}`: give the two capital letters of ISO 3166, as in DE or GB")]
    Country(String),
}

impl Wifi {
    /// The network called `ssid` in `country`.
    ///
    /// # Errors
    /// [`WifiError`]: what netplan or `wpa_supplicant` would refuse on the board, or the radio would stay silent with.
    pub fn new(ssid: &str, passphrase: &str, country: &str) -> Result<Self, WifiError> {
        if !(1..=LONGEST_SSID).contains(&ssid.len()) || ssid.chars().any(char::is_control) {
            return Err(WifiError::Ssid(ssid.escape_debug().to_string()));
        }
        if passphrase.contains(['\n', '\r']) {
            return Err(WifiError::Lines);
        }
        let key = passphrase.len() == 64 && passphrase.chars().all(|c| c.is_ascii_hexdigit());
        if let (Some(at), false) = (passphrase.chars().position(|c| !(' '..='~').contains(&c)), key) {
            return Err(WifiError::NotAscii(at + 1));
        }
        if !(8..=63).contains(&passphrase.len()) && !key {
            return Err(WifiError::Length(passphrase.len()));
        }
        if !COUNTRIES.split(' ').any(|known| known == country) {
            return Err(WifiError::Country(country.escape_debug().to_string()));
        }
        let [ssid, passphrase, country] = [ssid, passphrase, country].map(ToOwned::to_owned);
        Ok(Wifi { ssid, passphrase, country })
    }
}

impl std::fmt::Debug for Wifi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wifi").field("ssid", &self.ssid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_a_board_can_join_is_taken() {
        for (ssid, passphrase) in [
            ("x", "12345678"),
            ("Café ☕", "yes yes yes"),
            (&"s".repeat(32), &"p".repeat(63)),
            (" # \"a\": {b} ", "\\ '\"#{}%: ~"),
            ("hex", &"0aF9".repeat(16)),
        ] {
            assert!(Wifi::new(ssid, passphrase, "DE").is_ok(), "{ssid}");
        }
    }

    #[test]
    fn what_a_card_cannot_come_up_with_is_refused() {
        let long = "s".repeat(33);
        let wide = "ü".repeat(17);
        for ssid in ["", "a\nb", "a\u{7f}", &long, &wide] {
            assert!(matches!(Wifi::new(ssid, "12345678", "DE"), Err(WifiError::Ssid(_))), "{ssid:?}");
        }
        for (passphrase, error) in [
            ("", WifiError::Length(0)),
            ("abcde", WifiError::Length(5)),
            (&"p".repeat(65), WifiError::Length(65)),
            (&"g".repeat(64), WifiError::Length(64)),
            ("passwort für mich", WifiError::NotAscii(11)),
            ("with\ttab", WifiError::NotAscii(5)),
            ("one line\nand another", WifiError::Lines),
        ] {
            let refused = Wifi::new("x", passphrase, "DE").unwrap_err();
            assert_eq!(refused, error);
            assert!(passphrase.len() < 5 || !refused.to_string().contains(passphrase), "{refused}");
        }
        for country in ["", "de", "UK", "D", "DEU", "Germany", "00", "D E"] {
            assert!(matches!(Wifi::new("x", "12345678", country), Err(WifiError::Country(_))), "{country}");
        }
    }
}
