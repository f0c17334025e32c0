//! Who reports: what stands beside every event and every figure.
//!
//! Most of it is configured; the device and its network are known once the bot's state is open or the device is
//! registered ([`Origin::identify`]). What is told before that says [`UNKNOWN`].

use std::sync::OnceLock;

/// Stands for a device or network that is not known yet.
pub const UNKNOWN: &str = "unknown";

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

impl Image {
    /// From `name:tag`; without a tag the program's version stands for it.
    pub fn parse(text: &str) -> Self {
        // a colon before the last slash belongs to the registry's port
        match text.rsplit_once(':').filter(|(name, tag)| !name.is_empty() && !tag.is_empty() && !tag.contains('/')) {
            Some((name, tag)) => Self { name: name.to_owned(), tag: tag.to_owned() },
            None => Self { name: text.trim_end_matches(':').to_owned(), ..Self::default() },
        }
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
    fn an_image_is_a_name_and_a_tag_also_behind_a_port() {
        let parsed = |text| {
            let Image { name, tag } = Image::parse(text);
            (name, tag)
        };
        let version = env!("CARGO_PKG_VERSION");
        let own = |name: &str, tag: &str| (name.to_owned(), tag.to_owned());
        assert_eq!(parsed("wickr/bot-compliance-cloud:5.116.13.01"), own("wickr/bot-compliance-cloud", "5.116.13.01"));
        assert_eq!(parsed("host:5000/retaind"), own("host:5000/retaind", version));
        assert_eq!(parsed("host:5000/retaind:1"), own("host:5000/retaind", "1"));
        assert_eq!(parsed("retaind:"), own("retaind", version));
    }

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
