//! The tree as text: what `show running-config` prints, in IOS's order and indentation.

use std::fmt;

use super::{Config, crypto, hostname, inert, interface, ip, logging, monitor, service};

/// Lines that grow, with the indentation of the block they are in.
#[derive(Default)]
pub struct Text {
    lines: String,
    depth: usize,
    separated: bool,
}

impl Text {
    /// One line at the present depth.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        for _ in 0..self.depth {
            self.lines.push(' ');
        }
        // Writing into a String cannot fail.
        let _ = fmt::Write::write_fmt(&mut self.lines, line);
        self.lines.push('\n');
        self.separated = false;
    }

    /// The lines that `inner` writes belong to the block whose line was written last.
    pub fn block(&mut self, inner: impl FnOnce(&mut Self)) {
        self.depth += 1;
        inner(self);
        self.depth -= 1;
    }

    /// A `!` between sections, unless one stands there.
    pub fn separate(&mut self) {
        if !self.separated {
            self.lines.push_str("!\n");
            self.separated = true;
        }
    }
}

/// The configuration as text that [`super::parse`] reads back to the same tree.
///
/// It holds the pre-shared keys, as IOS's does; who prints it to anyone but the operator leaks them.
#[must_use]
pub fn render(config: &Config) -> String {
    let mut text = Text::default();
    text.separate();
    for section in [
        service::timestamps::render,
        service::internal::render,
        hostname::render,
        logging::render,
        monitor::event_trace::render,
        inert::render,
        crypto::call::admission::render,
        crypto::isakmp::policy::render,
        crypto::isakmp::key::render,
        crypto::isakmp::peer::render,
        crypto::isakmp::keepalive::render,
        crypto::ipsec::transform_set::render,
        crypto::ipsec::profile::render,
        crypto::gdoi::group::render,
        crypto::map::render,
        interface::render,
        ip::route::render,
        ip::access_list::render,
    ] {
        section(config, &mut text);
    }
    text.separate();
    text.lines.push_str("end\n");
    text.lines
}
