//! How far a pass over the archive is: a bar on a terminal, JSON Lines for programs, otherwise nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Terminal;

/// Time between two lines of JSON.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes between two looks at the time.
const LOOK_BYTES: u64 = 4 << 20;

/// Who wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ProgressMode {
    /// A bar if standard error is a terminal
    #[default]
    Auto,
    /// JSON Lines on standard error, one a second
    Json,
    /// Nothing
    None,
}

/// One pass.
pub(crate) struct Progress<'a> {
    bar: Option<ProgressBar>,
    json: Option<&'a mut dyn Write>,
    doing: &'static str,
    total: u64,
    bytes: u64,
    looked: u64,
    begun: Instant,
    said: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(
        mode: ProgressMode,
        terminal: Terminal,
        err: &'a mut dyn Write,
        doing: &'static str,
        total: u64,
    ) -> Self {
        let bar = (mode == ProgressMode::Auto && terminal.errors).then(|| {
            let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(doing)
        });
        let now = Instant::now();
        let json = (mode == ProgressMode::Json).then_some(err);
        Self { bar, json, doing, total, bytes: 0, looked: 0, begun: now, said: now }
    }

    /// So many more bytes were read.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes.saturating_sub(self.looked) < LOOK_BYTES {
            return;
        }
        self.looked = self.bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(self.bytes);
        }
        if self.json.is_some() && self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            self.say();
        }
    }

    fn say(&mut self) {
        let Some(err) = &mut self.json else { return };
        let seconds = self.begun.elapsed().as_secs_f64();
        let (doing, bytes, total) = (self.doing, self.bytes, self.total);
        // progress that nobody reads is no reason to stop
        writeln!(err, r#"{{"progress":"{doing}","bytes":{bytes},"of":{total},"seconds":{seconds:.1}}}"#)
            .unwrap_or_default();
    }

    /// The pass is over.
    pub(crate) fn finish(mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.say();
    }
}
