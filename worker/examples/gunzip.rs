//! The floor of the benchmark: decompresses gzip files with flate2 and does nothing with the text.
//!
//! `gunzip [--threads N] FILES…` prints the bytes of text.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flate2::bufread::MultiGzDecoder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let mut threads = thread::available_parallelism()?.get();
    if files.first().is_some_and(|first| first == "--threads") {
        threads = files.get(1).ok_or("--threads takes a number")?.parse()?;
        files.drain(..2);
    }
    let next = AtomicUsize::new(0);
    let bytes = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    let mut buffer = vec![0; 1024 * 1024];
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let file = BufReader::with_capacity(64 * 1024, File::open(file)?);
                        let mut text = MultiGzDecoder::new(file);
                        loop {
                            match text.read(&mut buffer)? {
                                0 => break,
                                read => bytes.fetch_add(read, Ordering::Relaxed),
                            };
                        }
                    }
                    Ok(())
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
