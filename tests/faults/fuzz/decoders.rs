//! One decoder under libFuzzer: the one that `RETAIND_DECODER` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../decoders.rs"]
mod decoders;

static DECODE: LazyLock<fn(&[u8]) -> decoders::Fate> = LazyLock::new(|| {
    let name = std::env::var("RETAIND_DECODER").unwrap_or_default();
    let Some(decoder) = decoders::find(&name) else {
        let names: Vec<&str> = decoders::DECODERS.iter().map(|decoder| decoder.name).collect();
        panic!("RETAIND_DECODER=`{name}` is none of {names:?}");
    };
    decoder.decode
});

fuzz_target!(|input: &[u8]| -> Corpus {
    DECODE(input);
    Corpus::Keep
});
