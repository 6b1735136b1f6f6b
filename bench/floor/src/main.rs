//! The floor of the benchmark: decompresses gzip files with flate2, or as logmill does, and does nothing with the text.
//!
//! `gunzip [--threads N] [--decoder flate2|logmill] FILES…` prints the bytes of text.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use logmill_gzip::{Decoder, GunzipError};

fn main() -> Result<(), Box<dyn Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        (files.first().is_some_and(|first| first == name) && files.len() > 1)
            .then(|| files.drain(..2).nth(1).unwrap_or_default())
    };
    let threads = match option("--threads") {
        Some(threads) => threads.parse()?,
        None => thread::available_parallelism()?.get(),
    };
    let read = match option("--decoder").as_deref() {
        None | Some("flate2") => read_by_flate2,
        Some("logmill") => read_by_logmill,
        Some(other) => return Err(format!("no decoder: {other}").into()),
    };
    let next = AtomicUsize::new(0);
    let bytes = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let read = File::open(file)
                            .map_err(|error| error.to_string())
                            .and_then(read);
                        bytes.fetch_add(
                            read.map_err(|error| format!("{file}: {error}"))?,
                            Ordering::Relaxed,
                        );
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a thread has panicked")??;
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    writeln!(std::io::stdout(), "{}", bytes.load(Ordering::Relaxed))?;
    Ok(())
}

fn read_by_flate2(file: File) -> Result<usize, String> {
    let mut text = MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, file));
    let mut buffer = vec![0; 1024 * 1024];
    let mut bytes = 0;
    loop {
        match text.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => return Ok(bytes),
            read => bytes += read,
        }
    }
}

fn read_by_logmill(file: File) -> Result<usize, String> {
    let read = || {
        let mut text = logmill_gzip::open(file, Decoder::Own, u64::MAX)?;
        while !text.ended() {
            text.fill()?;
            text.consume(text.unread().len());
        }
        Ok(text.text_bytes() as usize)
    };
    read().map_err(|error: GunzipError| error.to_string())
}
