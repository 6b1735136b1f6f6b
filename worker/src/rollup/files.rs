//! The files that rollups are written in: of a folder, or of a prefix of a bucket.

use std::path::Path;

use anyhow::{Context, Result};

use crate::aws::{self, S3Error};
use crate::intake::s3_uri::S3Uri;

const ENDING: &str = ".sql";

/// A rollup's file, read.
pub(super) struct SqlFile {
    /// Its path or URI.
    pub(super) place: String,
    /// Its name without the ending.
    pub(super) name: String,
    pub(super) sql: String,
}

impl SqlFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.file_stem().unwrap_or_default();
        Ok(Self {
            sql: std::fs::read_to_string(path)?,
            place: path.display().to_string(),
            name: name.to_string_lossy().into_owned(),
        })
    }
}

/// The SQL files that lie in a folder, in the order of their names.
pub(super) async fn of_folder(folder: &str) -> Result<Vec<SqlFile>> {
    match S3Uri::parse(folder)? {
        Some(place) => of_bucket(place).await,
        None => on_disk(Path::new(folder)),
    }
}

fn on_disk(folder: &Path) -> Result<Vec<SqlFile>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path| SqlFile::read(path).with_context(|| path.display().to_string());
    paths.iter().map(|path| read(path)).collect()
}

async fn of_bucket(place: S3Uri<'_>) -> Result<Vec<SqlFile>> {
    let client = aws::bucket(aws::sdk_config().await, place.bucket).await?;
    let folder = place.folder();
    let mut pages = client
        .list_objects_v2()
        .bucket(place.bucket)
        .prefix(&folder)
        .delimiter("/")
        .into_paginator()
        .send();
    // Listed in the order of their keys.
    let mut files = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| S3Error::new(&error, place.bucket, "s3:ListBucket"))?;
        for object in page.contents.unwrap_or_default() {
            let key = object.key.unwrap_or_default();
            let name = key.strip_prefix(&folder);
            let Some(name) = name.and_then(|name| name.strip_suffix(ENDING)) else {
                continue;
            };
            let name = name.to_owned();
            let get = client.get_object().bucket(place.bucket).key(&key);
            let got = get.send().await;
            let got = got.map_err(|error| S3Error::new(&error, place.bucket, "s3:GetObject"))?;
            let bytes = got.body.collect().await.with_context(|| key.clone())?;
            let sql = String::from_utf8(bytes.to_vec());
            files.push(SqlFile {
                sql: sql.with_context(|| format!("{key}: not UTF-8"))?,
                place: format!("s3://{}/{key}", place.bucket),
                name,
            });
        }
    }
    Ok(files)
}
