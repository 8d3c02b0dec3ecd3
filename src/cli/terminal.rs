//! Where output goes: two writers and what is known of the screen. Commands write here and nowhere
//! else, so that a test reads what a person would see.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::args::Output;
use super::error::CliError;
use super::style::{Line, Tone};

/// Narrower than this nothing can be laid out; such a width is a mistake of the terminal.
const WIDTH_MIN: usize = 40;

/// What is known of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Whether colours are wanted.
    pub colour: bool,
    /// Columns; none: not a terminal, lines are as long as they get.
    pub width: Option<usize>,
    /// Lines; none: not a terminal.
    pub height: Option<usize>,
}

impl Screen {
    /// What standard output is. Colours follow NO_COLOR, CLICOLOR, TERM and `no_color`.
    #[must_use]
    pub fn of_stdout(no_color: bool) -> Self {
        let stdout = io::stdout();
        let choice = anstream::AutoStream::choice(&stdout);
        let size = if stdout.is_terminal() {
            terminal_size::terminal_size()
        } else {
            None
        };
        Self {
            colour: !no_color && choice != anstream::ColorChoice::Never,
            width: size.map(|(w, _)| usize::from(w.0).max(WIDTH_MIN)),
            height: size.map(|(_, h)| usize::from(h.0).max(1)),
        }
    }

    /// Whether somebody looks at it as it is written.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.height.is_some()
    }
}

/// Output and error output of a command.
pub struct Terminal<'w> {
    out: &'w mut (dyn Write + Send),
    err: &'w mut (dyn Write + Send),
    screen: Screen,
    measure: Option<fn() -> Screen>,
}

impl<'w> Terminal<'w> {
    /// Writes to these; the screen stays as it is.
    pub fn new(
        out: &'w mut (dyn Write + Send),
        err: &'w mut (dyn Write + Send),
        screen: Screen,
    ) -> Self {
        Self {
            out,
            err,
            screen,
            measure: None,
        }
    }

    /// Asks for the screen's size again each time, since people resize their windows.
    #[must_use]
    pub fn measured_by(mut self, measure: fn() -> Screen) -> Self {
        self.measure = Some(measure);
        self
    }

    /// The screen as it is now. Whether it is a terminal and has colours does not change.
    #[must_use]
    pub fn screen(&self) -> Screen {
        match self.measure.map(|measure| measure()) {
            Some(now) if self.screen.is_terminal() => Screen {
                colour: self.screen.colour,
                ..now
            },
            _ => self.screen,
        }
    }

    /// Writes one line as it is.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn line(&mut self, line: &Line) -> Result<(), CliError> {
        writeln!(self.out, "{}", line.render(self.screen.colour))?;
        Ok(())
    }

    /// Writes a sentence.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn say(&mut self, tone: Tone, text: impl AsRef<str>) -> Result<(), CliError> {
        self.line(&Line::new().with(tone, text))?;
        self.flush()
    }

    /// Writes bytes that are no lines for people: a document, a script, control of the cursor.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes)?;
        self.flush()
    }

    /// Writes a document as JSON or YAML.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn document(&mut self, format: Output, value: &impl Serialize) -> Result<(), CliError> {
        let text = match format {
            Output::Yaml => serde_saphyr::to_string(value).map_err(|e| e.to_string()),
            _ => serde_json::to_string_pretty(value).map_err(|e| e.to_string()),
        };
        let text = text.map_err(io::Error::other)?;
        self.raw(format!("{}\n", text.trim_end()).as_bytes())
    }

    /// Writes a remark beside the output. That nobody reads it is no failure.
    pub fn note(&mut self, text: impl AsRef<str>) {
        let line = Line::new().with(Tone::Plain, text);
        let _ = writeln!(self.err, "{}", line.render(false)).and_then(|()| self.err.flush());
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.out.flush()?;
        Ok(())
    }
}
