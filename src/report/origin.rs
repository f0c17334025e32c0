//! Who reports: what stands beside every event and every figure.
//!
//! Most of it is configured; the device and its network are known once the bot's state is open or the device is
//! registered ([`Origin::identify`]). What is told before that says [`UNKNOWN`].

use std::fmt;
use std::sync::OnceLock;

/// Stands for a device or network that is not known yet.
pub(crate) const UNKNOWN: &str = "unknown";

/// Name of the image when none is configured.
const IMAGE: &str = "retaind";

/// Product when none is configured, as dashboards made for the guide's bot expect it.
pub const PRODUCT: &str = "WickrPro_Production";

/// The container image that the bot runs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `registry/name`, without the tag.
    pub name: String,
    /// Its tag, or the program's version.
    pub tag: String,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.tag.starts_with("sha256:") { '@' } else { ':' };
        write!(f, "{}{between}{}", self.name, self.tag)
    }
}

impl Default for Image {
    fn default() -> Self {
        Self { name: IMAGE.to_owned(), tag: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// Who reports.
#[derive(Debug)]
pub struct Origin {
    bot: String,
    image: Image,
    product: String,
    place: OnceLock<Place>,
}

#[derive(Debug)]
struct Place {
    device: String,
    network: String,
}

impl Origin {
    /// A bot (its user name) of a product, such as [`PRODUCT`], from an image.
    pub fn new(bot: impl Into<String>, image: Image, product: impl Into<String>) -> Self {
        Self { bot: bot.into(), image, product: product.into(), place: OnceLock::new() }
    }

    /// Says which device of which network it is. Neither changes while a bot runs: the first word holds.
    pub fn identify(&self, device: impl Into<String>, network: impl Into<String>) {
        self.place.get_or_init(|| Place { device: device.into(), network: network.into() });
    }

    /// The bot's user name.
    pub fn bot(&self) -> &str {
        &self.bot
    }

    /// Its image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Its product.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The device's id, 32 hex digits, or [`UNKNOWN`].
    pub fn device(&self) -> &str {
        self.place.get().map_or(UNKNOWN, |place| &place.device)
    }

    /// The network's id; until it is known the one in `compliance_<network id>_bot`, or [`UNKNOWN`].
    pub fn network(&self) -> &str {
        let named = || self.bot.strip_prefix("compliance_")?.strip_suffix("_bot").filter(|id| !id.is_empty());
        self.place.get().map(|place| place.network.as_str()).or_else(named).unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_device_is_known_the_bots_name_tells_the_network() {
        let origin = Origin::new("compliance_12345678_bot", Image::default(), PRODUCT);
        assert_eq!((origin.device(), origin.network()), (UNKNOWN, "12345678"));
        origin.identify("ab", "87654321");
        origin.identify("cd", "0");
        assert_eq!((origin.device(), origin.network()), ("ab", "87654321"));
        assert_eq!(Origin::new("bot", Image::default(), PRODUCT).network(), UNKNOWN);
    }
}
