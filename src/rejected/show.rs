//! `pinflow rejected show`: one rejection with the bytes of its message.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use pinflow_dataflows::record::Position;

use super::args::ShowArgs;
use super::error::RejectionCommandError;
use super::filter::stream_name;
use super::render::time_text;
use super::replay::ReplayPlace;
use super::scan_tables;
use pinflow_delta::{RejectionScan, StoredRejection, scan_rejections};
use pinflow_terminal::output::CommandOutput;
use pinflow_terminal::{sanitize_line, write_error_line};

/// Prints a rejection, or writes its bytes.
pub(super) async fn show_rejection(args: ShowArgs, out: &mut dyn Write) -> Result<(), RejectionCommandError> {
    let is_stdout = args.raw.as_deref() == Some(Path::new("-"));
    if is_stdout && io::stdout().is_terminal() {
        return Err(RejectionCommandError::RawToTerminal);
    }
    let (rejection, replay) = find_rejection(&args).await?;
    let stored = rejection.payload.as_ref().map_or(0, Vec::len) as u64;
    if stored < rejection.payload_bytes {
        write_error_line(&format!("the table has the first {stored} of {} bytes", rejection.payload_bytes));
    }
    match &args.raw {
        None => Ok(write_rejection(&rejection, replay, out)?),
        Some(file) => {
            let payload = rejection.payload.ok_or(RejectionCommandError::NoPayload)?;
            if is_stdout { write_to_stdout(&payload) } else { write_to_file(file, &payload) }
        }
    }
}

/// Finds the one rejection that the arguments name, and where a replay has put it.
async fn find_rejection(args: &ShowArgs) -> Result<(StoredRejection, Option<ReplayPlace>), RejectionCommandError> {
    let ShowArgs { source, position, sub, .. } = args;
    let parsed = Position::parse(position.as_bytes());
    let parsed = parsed.ok_or_else(|| RejectionCommandError::Position(position.clone()))?;
    let (wanted, sub) = (source.clone(), *sub);
    let scan = RejectionScan { payloads: true, position: Some(parsed) };
    let found = scan_tables(&args.tables, scan, move |contents, scan, _| {
        let mut found = Vec::new();
        let is_wanted = |of: &StoredRejection| of.source == wanted && sub.is_none_or(|sub| sub == of.sub);
        scan_rejections(contents, scan, |of| found.extend(Some(of).filter(is_wanted))).map(|()| found)
    });
    let (mut found, passes) = found.await?;
    match (found.pop(), found.is_empty()) {
        (Some(rejection), true) => {
            let replay = passes.place_of(&rejection);
            Ok((rejection, replay))
        }
        (Some(last), false) => {
            found.push(last);
            let mut subs: Vec<u32> = found.iter().map(|of| of.sub).collect();
            subs.sort_unstable();
            let subs = subs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(RejectionCommandError::SeveralRows { subs })
        }
        (None, _) => {
            let position = sub.map_or_else(|| position.clone(), |sub| format!("{position}, row {sub},"));
            Err(RejectionCommandError::NotFound { source_name: source.clone(), position })
        }
    }
}

/// Prints a rejection. `out` escapes what a terminal would interpret.
fn write_rejection(rejection: &StoredRejection, replay: Option<ReplayPlace>, out: &mut dyn Write) -> io::Result<()> {
    let replayed = replay.map_or_else(|| "no".to_owned(), ReplayPlace::describe);
    let arrived = rejection.arrived_at.map_or_else(|| "not known".to_owned(), time_text);
    let fields = [
        ("source", rejection.source.clone()),
        ("position", rejection.position.to_string()),
        ("sub", rejection.sub.to_string()),
        ("arrived", arrived),
        ("stream", stream_name(rejection).to_owned()),
        ("reason", rejection.reason.clone()),
        ("detail", rejection.detail.clone()),
        ("bytes", rejection.payload_bytes.to_string()),
        ("sha256", rejection.payload_sha256.clone().unwrap_or_default()),
        ("replayed", replayed),
    ];
    for (name, value) in fields {
        writeln!(out, "{name:8}  {}", sanitize_line(&value))?;
    }
    match &rejection.payload {
        None => writeln!(out, "\nthe message has no payload"),
        Some(payload) => {
            writeln!(out)?;
            out.write_all(payload)?;
            writeln!(out)
        }
    }
}

fn write_to_stdout(payload: &[u8]) -> Result<(), RejectionCommandError> {
    let mut out = CommandOutput::default();
    match out.write_all(payload).and_then(|()| out.flush()) {
        // The reader has read enough.
        Err(closed) if closed.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes a new file.
fn write_to_file(path: &Path, payload: &[u8]) -> Result<(), RejectionCommandError> {
    let failed = |cause| RejectionCommandError::RawFile { path: path.to_owned(), cause };
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(payload).map_err(failed)
}
